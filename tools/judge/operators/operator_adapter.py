"""Loads an operator's folder and calls the code in it: inputs, oracle, comparison, cost.

The generic operator stands in where the folder or a file is missing. What the code returns is
checked. Files are loaded anew for every plan: their author edits them while a judge is running.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...devices.roofline import Cost, mean_cost
from ...errors import DatasetError, HarnessError
from ...schema.drawn_inputs import InputSource, RandomGenerator, ValueStatistics
from ...schema.flashinfer_trace import Definition, SafetensorsInput, Workload, definition_hash
from ...workloads.operators import generic_cost, read_json_object
from ...workloads.policy import ORACLE, Policy, policy_of, sampled_outputs
from ..numerics.limits import ToleranceLimits, tolerance_limits
from ..numerics.sampling import NUCLEUS_SLACK, as_probabilities, impossible_draws, narrowed
from ..philox.generator import random_values, usable_source
from . import generic_operator as generic
from .folder_code import asks_philox, loaded, own_inputs, stamp, takes, timed_first
from .generic_operator import Value, compared_dtype
from .reference import Reference, definition_place, named_outputs, raise_when_memory_ran_out
from .stored_inputs import check_contents, check_made, read_stored, stored_files

Outputs = dict[str, torch.Tensor]
PAIR = "oracle_and_trusted"
"""Of oracle.py: gives what its `oracle` and its `trusted` give, where both have much in common."""
TOGETHER = "compare_all"
"""Of compare.py: judges all outputs of a call at once."""
MOST_COUNTED = 8  # input sets of a case whose work is counted from their values


@dataclass(frozen=True)
class Case:
    """A workload of the plan, or a held-out one.

    Args:
        uuid: the workload's, or an invented one for a held-out case.
        structure: facts about the values of inputs that axes do not tell.
        files: tensors that the workload stores in files.
        statistics: of the values of inputs, by which the like of them are drawn.
        held_out: whether everything about it is hidden from agents.
        draw: the kind of draw that gave a held-out case.
    """

    uuid: str
    axes: dict[str, int]
    structure: dict[str, Any] | None = None
    scalars: dict[str, Value] = field(default_factory=dict)
    files: dict[str, SafetensorsInput] = field(default_factory=dict)
    statistics: dict[str, ValueStatistics] = field(default_factory=dict)
    held_out: bool = False
    draw: str = ""


class OperatorAdapter:
    """An operator as the judge uses it.

    Args:
        root: folder that safetensors paths are relative to.
        limit_s: of one call of the operator's code.
        policy: in place of the folder's; None: that counts.
        family: of inputs, in place of the operator's first.

    Raises:
        DatasetError: when a file of the folder cannot be used, or there is no such family.
    """

    def __init__(
        self,
        definition: Definition,
        folder: Path | None = None,
        root: Path | None = None,
        limit_s: float = math.inf,
        policy: Mapping[str, Any] | None = None,
        family: str = "",
    ) -> None:
        self.definition = definition
        self.root = root
        self.key = f"{definition_hash(definition)} {stamp(folder)} {policy} {family}"
        self._folder = folder
        self.policy = Policy.model_validate(policy) if policy else policy_of(definition, folder)
        self.sampled = sampled_outputs(definition, self.policy)
        self._structure = read_json_object(folder / "structure.json") if folder else {}
        self._inputs = loaded(folder, "inputs.py", limit_s)
        self.draws_held_out = hasattr(self._inputs, "held_out")
        self.draws_whole = bool(getattr(self._inputs, "WHOLE", False))
        """Whether inputs, as matrices of a kind are, must be drawn anew and not be changed."""
        self._oracle = loaded(folder, "oracle.py", limit_s)
        self._compare = loaded(folder, "compare.py", limit_s)
        self._cost = loaded(folder, "cost.py", limit_s)
        place = definition_place(definition, folder, root)
        drawn = self._inputs is None
        self._reference = Reference(definition, place, generic_inputs=drawn, limit_s=limit_s)
        self._flops: dict[str, float | None] = {}  # by case, of the reference, without cost.py
        self._counted: dict[str, list[Cost]] = {}
        """By case, the work of inputs so far, where cost.py gives only an expected value."""
        source = self._inputs if self._inputs is not None else generic
        self.families = timed_first(source, self.policy, family, str(folder or definition.name))
        """Input families, that which is timed first."""
        self._family = family

    @property
    def reference_place(self) -> str:
        """Where the reference stands, for messages."""
        return self._reference.place

    @property
    def mutable_inputs(self) -> list[str]:
        """Inputs that a call may write to: the policy's, and those that the reference writes to."""
        return [*self.policy.mutable_inputs, *self._reference.overwritten]

    def case(self, workload: Workload) -> Case:
        """The case that a workload states."""
        return Case(
            uuid=workload.uuid,
            axes=dict(workload.axes),
            structure=self._structure.get(workload.uuid),
            scalars={**workload.scalars(self.definition)},
            files={n: s for n, s in workload.inputs.items() if isinstance(s, SafetensorsInput)},
            statistics=workload.statistics,
        )

    @property
    def makes_own_inputs(self) -> bool:
        """Whether the folder has an inputs.py."""
        return self._inputs is not None

    def own_held_out(self, rng: random.Random, count: int) -> list[dict[str, Any]] | None:
        """Sizes by inputs.py's `held_out`, as it gives them; None when it has no such function."""
        if (choose := getattr(self._inputs, "held_out", None)) is None:
            return None
        try:
            sizes = choose(rng, count)
            return [dict(item if isinstance(item, Mapping) else vars(item)) for item in sizes]
        except Exception as error:
            raise self._fault("inputs.py", "held_out", error) from error

    def source_on(self, device: torch.device) -> InputSource:
        """What new inputs are drawn by on a device."""
        if self._inputs is not None and not asks_philox(self._inputs):
            return InputSource()
        return usable_source(device)

    def make_inputs(
        self,
        case: Case,
        seed: int,
        family: str,
        device: torch.device,
        generator: RandomGenerator | None = None,
    ) -> dict[str, Value]:
        """Makes one set of inputs, in the definition's order.

        Args:
            generator: what the seed is given to; None: what is usual on the device.

        Raises:
            DatasetError: when the generator fails or makes what the definition does not declare.
        """
        axes = self.definition.axis_values(case.axes)
        values = random_values(generator or self.source_on(device).generator, seed, device)
        stored = {
            name: read_stored(case.files[name], path, device)
            for name, path in self._stored(case).items()
        }
        seeds = (name for sampled in self.sampled.values() for name in sampled.seeds)
        drawn = {name: random.Random(f"{seed} {name}").getrandbits(31) for name in seeds}
        like = generic.recorded_values(self.definition, axes, case.statistics, values, family)
        if self._inputs is None:
            whole = {n: v for n, v in stored.items() if self.definition.inputs[n].shape is None}
            known = {**like, **case.scalars, **whole, **drawn}
            probabilities = {sampled.probabilities for sampled in self.sampled.values()}
            made = generic.generate_inputs(
                self.definition, axes, known, values, family, probabilities
            )
        else:
            facts = case.structure, case.scalars
            made = self._guarded(
                "generate", lambda own: own_inputs(own, axes, *facts, seed, family, values)
            )
        inputs = self._checked({**like, **made, **case.scalars, **stored, **drawn}, axes)
        waived, shown = self.policy.waived_constraints, not case.held_out
        check_contents(self.definition, waived, axes, inputs, shown=shown)
        return inputs

    def expected_outputs(self, case: Case, inputs: Mapping[str, Value]) -> tuple[Outputs, Outputs]:
        """The outputs of `oracle` and of `trusted`; what both need is computed once."""
        if (both := getattr(self._oracle, PAIR, None)) is not None:
            exact, usual = self._own_outputs(case, both, inputs)
            return exact, self._declared(usual)
        if hasattr(self._oracle, "oracle") or hasattr(self._oracle, "trusted"):
            return self.oracle(case, inputs), self.trusted(case, inputs)
        outputs = self.reference_outputs(case, inputs)
        return self._widened(case, inputs, outputs), self._declared(outputs)

    def oracle(self, case: Case, inputs: Mapping[str, Value]) -> Outputs:
        """The expected outputs, in a higher precision than the declared one where possible."""
        if (own := getattr(self._oracle, "oracle", None)) is not None:
            return self._own_outputs(case, own, inputs)[0]
        return self._widened(case, inputs, self.reference_outputs(case, inputs))

    def _widened(self, case: Case, inputs: Mapping[str, Value], exact: Outputs) -> Outputs:
        """The reference's outputs on inputs in float32, those where it computes the same there."""
        wide = generic.widened(inputs)
        if wide is None:
            return exact
        try:
            raised = self.reference_outputs(case, wide)
        # Not every reference takes wider inputs.
        except Exception:
            return exact
        return {
            name: raised[name]
            if generic.close(raised[name], exact[name], self.limits(name, case.uuid))
            else value
            for name, value in exact.items()
        }

    def trusted(self, case: Case, inputs: Mapping[str, Value]) -> Outputs:
        """The outputs of a trusted implementation in the declared precision."""
        if (own := getattr(self._oracle, "trusted", None)) is not None:
            return self._declared(self._own_outputs(case, own, inputs)[0])
        return self._declared(self.reference_outputs(case, inputs))

    def _declared(self, outputs: Outputs) -> Outputs:
        return {
            name: value.to(compared_dtype(self.definition.outputs[name].dtype))
            for name, value in outputs.items()
        }

    def limits(self, output: str, uuid: str = "") -> ToleranceLimits:
        """The tolerances of an output on a workload."""
        return tolerance_limits(self.policy, output, uuid)

    def compares(self, output: str) -> bool:
        """Whether this output is no plain values, but a set of indices, say, or drawn at random."""
        own = self._compare is not None and self.policy.strict_limit(output).kind != "values"
        return own or self.compares_together or output in self.sampled

    @property
    def compares_together(self) -> bool:
        """Whether compare.py judges all outputs of a call at once."""
        return getattr(self._compare, TOGETHER, None) is not None

    def compare_together(
        self, inputs: Mapping[str, Value], expected: Outputs, got: Outputs
    ) -> dict[str, Any]:
        """The answer of compare.py for all outputs of a call."""
        limits = self.policy.tolerance.model_dump()
        return self._compared(TOGETHER, dict(inputs), expected, got, limits)

    def _compared(self, function: str, *given: Any) -> dict[str, Any]:
        try:
            return dict(getattr(self._compare, function)(*given))
        except Exception as error:
            raise self._fault("compare.py", function, error) from error

    def compare(
        self,
        output: str,
        inputs: Mapping[str, Value],
        expected: torch.Tensor,
        got: torch.Tensor,
    ) -> dict[str, Any]:
        """The answer of compare.py for one output, or whether draws can occur."""
        if output in self.sampled:
            rows = self.probabilities(output, inputs, got, NUCLEUS_SLACK)
            return dict(impossible_draws(output, got, rows))
        strict = self.policy.strict_limit(output)
        limits = {**self.policy.tolerance.model_dump(), **strict.model_dump()}
        return self._compared("compare", output, dict(inputs), expected, got, limits)

    def probabilities(
        self, output: str, inputs: Mapping[str, Value], got: torch.Tensor, slack: float = 0.0
    ) -> torch.Tensor:
        """The probabilities by which an output is to be drawn, a row for each of its elements."""
        sampled, named = self.sampled[output], self.sampled[output].probabilities
        try:
            own = getattr(self._oracle, "probabilities", None) if named == ORACLE else None
            values = own(output, **inputs) if own is not None else inputs[named]
            rows = as_probabilities(torch.as_tensor(values), tuple(got.shape))
            return narrowed(rows, inputs.get(sampled.top_k), inputs.get(sampled.top_p), slack)
        except Exception as error:
            words = f"{named} gives no probabilities for {output!r}: {error}"
            raise DatasetError(words, where=str(self._folder or self.definition.name)) from error

    def input_bytes(self, case: Case) -> int:
        """Bytes of the case's input tensors."""
        return generic.input_bytes(self.definition, self.definition.axis_values(case.axes))

    def cost(self, case: Case, inputs: Mapping[str, Value] | None = None) -> Cost:
        """The work that any correct kernel must do for the case."""
        axes = self.definition.axis_values(case.axes)
        if self._cost is None:
            return generic_cost(self.definition, axes, self._flops.get(case.uuid))
        if inputs is None and self._counted.get(case.uuid):
            return mean_cost(self._counted[case.uuid])
        try:
            return Cost(**self._cost.cost(axes, structure=case.structure, inputs=inputs))
        except Exception as error:
            raise self._fault("cost.py", "cost", error) from error

    def count_work(self, case: Case, inputs: Mapping[str, Value]) -> None:
        """Counts the work of inputs, where the cost model gives only an expected value without."""
        seen = self._counted.setdefault(case.uuid, [])
        if self._cost is None or len(seen) >= MOST_COUNTED:
            return
        # The expected value stays where cost.py cannot take these inputs.
        with contextlib.suppress(HarnessError):
            if seen or self.cost(case).expected:
                seen.append(self.cost(case, inputs))

    def rewrite(self, case: Case, inputs: dict[str, Value], generator: torch.Generator) -> bool:
        """Overwrites inputs in place by the operator's `rewrite`; False without one for them."""
        rewrite = getattr(self._inputs, "rewrite", None)
        if rewrite is None or (self._family and not takes(rewrite, "family")):
            return False
        facts = {"axes": self.definition.axis_values(case.axes), "structure": case.structure}
        if self._family:
            facts["family"] = self._family
        self._guarded("rewrite", lambda own: own.rewrite(inputs, generator, **facts) or {})
        return True

    def stored_fault(self, case: Case) -> DatasetError | None:
        """Why a tensor that the workload stores cannot be used; None when all can."""
        try:
            self._stored(case)
        except DatasetError as fault:
            return fault
        return None

    def reference_outputs(self, case: Case, inputs: Mapping[str, Value]) -> Outputs:
        """The outputs of the definition's own code."""
        counted = self._cost is None and case.uuid not in self._flops
        axes, shown = self.definition.axis_values(case.axes), not case.held_out
        outputs, flops = self._reference.outputs(inputs, axes, shown=shown, counted=counted)
        if counted:
            self._flops[case.uuid] = flops
        return outputs

    def _own_outputs(
        self, case: Case, compute: Callable[..., Any], inputs: Mapping[str, Value]
    ) -> list[Outputs]:
        """What a function of oracle.py computes: outputs, or a pair of them."""
        axes = self.definition.axis_values(case.axes)
        where = f"{self._folder}/oracle.py, {compute.__name__}()"
        try:
            made = compute(**inputs)
            kinds = made if compute.__name__ == PAIR else [made]
            return [named_outputs(self.definition, outputs, axes, where) for outputs in kinds]
        except HarnessError:
            raise
        except Exception as error:
            raise self._fault("oracle.py", compute.__name__, error) from error

    def _stored(self, case: Case) -> dict[str, Path]:
        axes = self.definition.axis_values(case.axes)
        others = self._inputs is not None
        return stored_files(self.definition, axes, case.files, self.root, others_are_made=others)

    def _checked(self, made: Mapping[str, Any], axes: Mapping[str, int]) -> dict[str, Value]:
        inputs: dict[str, Value] = {}
        for name, shape in self.definition.input_shapes(axes).items():
            if name not in made:
                raise DatasetError(
                    f"No input {name!r} was made",
                    where=f"{self._folder}/inputs.py, generate()",
                    remedy="Return every input of the definition.",
                )
            value = made[name]
            if shape is None:
                inputs[name] = value.item() if isinstance(value, torch.Tensor) else value
                continue
            check_made(name, value, shape, self.definition.inputs[name].dtype)
            inputs[name] = value.contiguous()
        return inputs

    def _guarded(self, what: str, action: Callable[[Any], Any]) -> dict[str, Any]:
        try:
            return dict(action(self._inputs))
        except Exception as error:
            raise self._fault("inputs.py", what, error) from error

    def _fault(self, file: str, what: str, error: Exception) -> HarnessError:
        raise_when_memory_ran_out(error, self.definition.name)
        return DatasetError(
            f"{what}() of the operator failed: {type(error).__name__}: {error}",
            where=str(self._folder / file) if self._folder else self.definition.name,
            remedy="This is a fault of the operator's folder, not of the candidate.",
        )
