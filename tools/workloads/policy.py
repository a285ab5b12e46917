"""How an operator is judged: tolerances, libraries, baselines, from its policy.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import DatasetError
from ..schema.flashinfer_trace import Definition
from ..schema.measurement import Objective
from ..text import fault_words


class PolicyModel(BaseModel):
    """Base of what policy.toml holds: frozen, refusing names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToleranceForm(StrEnum):
    """When an element is outside a tolerance."""

    EITHER = "either"
    """Its absolute error exceeds atol, and its relative error rtol: FlashInfer-Trace's form."""
    ALLCLOSE = "allclose"
    """Its absolute error exceeds atol + rtol * |expected|: that of torch.allclose."""


class Criterion(StrEnum):
    """Which of the two criteria an output must meet."""

    BOTH = "both"
    PUBLISHED = "published"
    """The tolerance alone; whether the strict criterion is met is recorded, and decides nothing."""


class ProcessChanges(StrEnum):
    """What becomes of a candidate that leaves threads running or replaces clocks."""

    REPORTED = "reported"
    REFUSED = "refused"


class Nonfinite(StrEnum):
    """Which values that are no finite numbers the reference may give; others are its fault."""

    ANY = "any"
    NEGATIVE_INFINITY = "negative_infinity"
    NONE = "none"


class Tolerance(PolicyModel):
    """The published criterion: FlashInfer-Trace's, or another benchmark's that is judged by it."""

    form: ToleranceForm = ToleranceForm.EITHER
    atol: float = Field(default=1e-2, ge=0)
    rtol: float = Field(default=1e-2, ge=0)
    required_matched_ratio: float = Field(default=1.0, gt=0, le=1)
    max_error: float | None = Field(
        default=None, ge=0, description="No absolute error may exceed it, whatever share matches."
    )
    zeros: bool = Field(
        default=True,
        description="Whether zeros alone may pass for other values that are within the tolerance.",
    )
    nonfinite: Nonfinite = Nonfinite.ANY


class StrictLimit(PolicyModel):
    """Our own criterion for one output, in units of the trusted implementation's error."""

    kind: str = Field(default="values", pattern="^(values|index_set)$")
    rms_factor: float = Field(default=2.0, gt=0)
    max_factor: float = Field(default=4.0, gt=0)
    rms_floor: float = Field(default=1e-6, ge=0, description="Scaled by the oracle's rms.")
    max_floor: float = Field(default=1e-4, ge=0, description="Scaled by the oracle's rms.")


class Libraries(PolicyModel):
    """Whose kernels a candidate may launch."""

    allowed: list[str] = Field(default_factory=lambda: ["torch", "cublas"])


class AxisBounds(PolicyModel):
    """The sizes of one axis for which kernels must be right; absent ends follow the workloads."""

    minimum: int | None = Field(default=None, ge=0)
    maximum: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> AxisBounds:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"the minimum {self.minimum} is above the maximum {self.maximum}")
        return self


class ScalarRange(PolicyModel):
    """The values of one scalar for which kernels must be right: a range, single values, or both."""

    minimum: float | None = None
    maximum: float | None = None
    values: list[bool | int | float] = Field(
        default_factory=list, description="Drawn often, such as one that stands for a default."
    )
    literal_zero: list[str] = Field(
        default_factory=list,
        description="Outputs that are multiples of it. Where a value of 0 stands for a default, "
        "zeros are right as well: kernels may take it at its word.",
    )

    @property
    def has_range(self) -> bool:
        """Whether it has both ends of a range."""
        return self.minimum is not None and self.maximum is not None

    @model_validator(mode="after")
    def _says_something(self) -> ScalarRange:
        if (self.minimum is None) is not (self.maximum is None):
            raise ValueError("a range has a minimum and a maximum")
        if self.minimum is None and not self.values:
            raise ValueError("give a minimum and a maximum, or values")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"the minimum {self.minimum} is above the maximum {self.maximum}")
        return self


ORACLE = "oracle.py"


class Sampled(PolicyModel):
    """An output whose elements are drawn at random: it is judged by how its draws lie."""

    probabilities: str = Field(
        description="The input whose last axis holds the probabilities of the values 0, 1, 2 and "
        "so on, one row for each element; or 'oracle.py', whose function `probabilities` gives "
        "them."
    )
    top_k: str = Field(
        default="",
        description="The integer input that says of how many of the most probable values a draw "
        "is; 0, less, or as many as there are: of all.",
    )
    top_p: str = Field(
        default="",
        description="The input that says of how few of the most probable values a draw is: of "
        "those that are needed to reach so much probability, after `top_k`.",
    )
    draws: int = Field(
        default=2_000, ge=500, description="Draws over all calls; fewer are no verdict."
    )
    seeds: list[str] = Field(
        default_factory=list, description="Scalar integer inputs that every call gets anew."
    )


class Policy(PolicyModel):
    """How one operator is judged; policy.toml, or defaults that suit any definition."""

    baseline: str | None = Field(default=None, description="A folder in solutions/ or peers/.")
    cpu_baseline: str | None = Field(default=None, description="The same, without a GPU.")
    objective: Objective = Field(
        default=Objective.COLD,
        description="The times whose mean ranks candidates: 'cold', also called "
        "'mean_latency_us', 'clean', 'sustained' or 'warm'.",
    )
    criterion: Criterion = Field(
        default=Criterion.BOTH,
        description="'both' the tolerance and the strict limits decide, or what is 'published'.",
    )
    tolerance: Tolerance = Field(default_factory=Tolerance)
    workload_tolerance: dict[str, Tolerance] = Field(
        default_factory=dict, description="By uuid, instead of `tolerance` on that workload."
    )
    untimed: list[str] = Field(
        default_factory=list, description="Uuids of workloads that are for correctness alone."
    )
    strict: dict[str, StrictLimit] = Field(
        default_factory=dict, description="By output; outputs without an entry use the defaults."
    )
    sampled: dict[str, Sampled] = Field(
        default_factory=dict, description="By output, what is drawn at random."
    )
    process: ProcessChanges = Field(
        default=ProcessChanges.REPORTED,
        description="Whether threads that outlive a call and replaced clocks are "
        "'reported' or 'refused'.",
    )
    libraries: Libraries = Field(default_factory=Libraries)
    mutable_inputs: list[str] = Field(
        default_factory=list,
        description="Inputs that the definition lets a solution overwrite and return; "
        "those that the reference overwrites are among them.",
    )
    axes: dict[str, AxisBounds] = Field(
        default_factory=dict, description="Of held-out sizes; else 1 to the largest workload."
    )
    scalars: dict[str, ScalarRange] = Field(
        default_factory=dict, description="Of held-out cases; else around the workloads' values."
    )
    waived_constraints: list[str] = Field(
        default_factory=list, description="Constraints that published workloads break, as written."
    )
    input_families: dict[str, str] = Field(
        default_factory=dict,
        description="Families of inputs.py on which times may be asked for, each with what it is. "
        "The first is inputs.py's first, too, and alone ranks.",
    )
    interpreter_seconds: dict[str, float] | float | None = None  # accepted in old files, unread

    @field_validator("objective", mode="before")
    @classmethod
    def _known_objective(cls, value: object) -> object:
        if value == "mean_latency_us":
            return Objective.COLD
        if value not in list(Objective):
            known = ", ".join(repr(str(objective)) for objective in Objective)
            raise ValueError(f"the objective {value!r} is not known; write one of {known}")
        return value

    @property
    def other_families(self) -> dict[str, str]:
        """Families of inputs on which times may be asked for and do not rank."""
        return dict(list(self.input_families.items())[1:])

    def tolerance_of(self, uuid: str) -> Tolerance:
        """The published criterion on one workload."""
        return self.workload_tolerance.get(uuid, self.tolerance)

    def strict_limit(self, output: str) -> StrictLimit:
        """Our criterion for one output."""
        return self.strict.get(output) or StrictLimit()

    def may_be_zero(self, output: str, scalars: Mapping[str, object]) -> bool:
        """Whether zeros are right too, for a scalar that is 0 and may be taken at its word."""
        return any(
            output in allowed.literal_zero and scalars.get(name) == 0
            for name, allowed in self.scalars.items()
        )


PUBLISHED_RATIOS = {"moe": 0.95}
"""By op_type, the share of elements that FlashInfer-Bench asks for where nobody says otherwise."""


def default_policy(definition: Definition) -> Policy:
    """The policy of a definition that comes without one, as in a FlashInfer-Trace dataset."""
    ratio = PUBLISHED_RATIOS.get(definition.op_type, 1.0)
    return Policy(tolerance=Tolerance(required_matched_ratio=ratio))


def policy_of(definition: Definition, folder: Path | None) -> Policy:
    """The policy in an operator's folder; the default one of a definition without a folder.

    Raises:
        DatasetError: when the file is malformed, naming the field.
    """
    return read_policy(folder / "policy.toml") if folder else default_policy(definition)


def sampled_outputs(definition: Definition, policy: Policy) -> dict[str, Sampled]:
    """The outputs that are drawn at random, as the policy says or the definition shows.

    A definition shows it that is of type 'sampling' and draws its one output, of integers, by its
    input `probs`, with nothing beside it but `top_k` and `top_p`.
    """
    inputs = definition.inputs
    if policy.sampled or definition.op_type != "sampling" or "probs" not in inputs:
        return policy.sampled
    if not inputs.keys() <= {"probs", "top_k", "top_p"}:
        return {}
    drawn = [name for name, spec in definition.outputs.items() if "int" in spec.dtype]
    shape = definition.inputs["probs"].shape or ()
    if len(definition.outputs) != 1 or not drawn:
        return {}
    if list(shape[:-1]) != list(definition.outputs[drawn[0]].shape or ()):
        return {}
    top_k, top_p = (name if name in inputs else "" for name in ("top_k", "top_p"))
    return {drawn[0]: Sampled(probabilities="probs", top_k=top_k, top_p=top_p)}


def _sampling_faults(definition: Definition, policy: Policy) -> list[tuple[str, str]]:
    """Place and words of what a policy says of samples and the definition does not have."""
    found: list[tuple[str, str]] = []
    integers = [n for n, s in definition.inputs.items() if s.shape is None and "int" in s.dtype]
    for output, sampled in policy.sampled.items():
        if output not in definition.outputs:
            words = f"no such output; there are: {', '.join(definition.outputs)}"
            found.append((f"sampled.{output}", words))
        if sampled.probabilities not in (ORACLE, *definition.inputs):
            words = f"neither an input nor '{ORACLE}'; inputs: {', '.join(definition.inputs)}"
            found.append((f"sampled.{output}.probabilities", words))
        for key, name in (("top_k", sampled.top_k), ("top_p", sampled.top_p)):
            if name and name not in definition.inputs:
                words = f"no such input; there are: {', '.join(definition.inputs)}"
                found.append((f"sampled.{output}.{key}", words))
        if unknown := [name for name in sampled.seeds if name not in integers]:
            words = f"no scalar integer input: {', '.join(unknown)}"
            found.append((f"sampled.{output}.seeds", words))
    return found


def policy_faults(definition: Definition, policy: Policy, folder: Path) -> list[tuple[str, str]]:
    """Place and words of all that a policy says of what the operator's folder does not have."""
    return [
        *_unknown_parts(definition, policy),
        *_unknown_baselines(policy, folder),
        *_sampling_faults(definition, policy),
    ]


def _unknown_parts(definition: Definition, policy: Policy) -> list[tuple[str, str]]:
    """Place and words of what a policy says of axes, scalars and outputs that there are not."""
    scalars = [name for name, spec in definition.inputs.items() if spec.shape is None]
    outputs = [*definition.outputs]
    named = [
        ("axes", policy.axes, definition.var_axes, "var axis"),
        ("scalars", policy.scalars, scalars, "scalar"),
        ("strict", policy.strict, outputs, "output"),
    ]
    return [
        (f"{key}.{name}", f"no such {what}; there are: {', '.join(known) or 'none'}")
        for key, given, known, what in named
        for name in given
        if name not in known
    ]


def _unknown_baselines(policy: Policy, folder: Path) -> list[tuple[str, str]]:
    """Place and words of baselines that no folder of the operator holds."""
    named = [("baseline", policy.baseline), ("cpu_baseline", policy.cpu_baseline)]
    return [
        (key, f"no folder {name!r} in solutions/ or peers/, so that nothing is compared with it")
        for key, name in named
        if name and not any((folder / place / name).is_dir() for place in ("solutions", "peers"))
    ]


def unknown_workloads(policy: Policy, uuids: Sequence[str]) -> list[tuple[str, str]]:
    """Place and words of what a policy says of workloads that there are not.

    Args:
        uuids: of the workloads that can be used.
    """
    named = [("untimed", uuid) for uuid in policy.untimed]
    named += [("workload_tolerance", uuid) for uuid in policy.workload_tolerance]
    known = ", ".join(uuids[:4]) + (", …" if len(uuids) > 4 else "")
    return [
        (f"{key}.{uuid}", f"no such workload; there are: {known or 'none that can be used'}")
        for key, uuid in named
        if uuid not in uuids
    ]


def read_policy(path: Path) -> Policy:
    """Reads policy.toml; a missing file means the defaults.

    Raises:
        DatasetError: when it is malformed, naming the field.
    """
    if not path.is_file():
        return Policy()
    try:
        return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"Not TOML: {error}", where=str(path)) from error
    except ValidationError as error:
        raise DatasetError(fault_words(error), where=str(path)) from error
