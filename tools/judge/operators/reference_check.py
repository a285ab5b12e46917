"""Finds references that no candidate can be compared with: random ones, and constant ones.

One that is said to draw at random is held to the probabilities that it is said to draw by.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ...errors import DatasetError, HarnessError
from ...messages.judge import CheckOperator, OperatorChecked
from ...schema.flashinfer_trace import Definition, Workload
from .folder_code import loaded
from .generic_operator import Value
from .input_sets import fresh_seed
from .operator_adapter import Case, OperatorAdapter
from .sampled_draws import SampledDraws

FILES = ("inputs.py", "oracle.py", "compare.py", "cost.py")
MOST_CALLS = 4
PATIENCE_S = 0.5
"""Calls on the same inputs go on for this long, but at least two are made: small outputs of a
random reference may be equal by chance."""

SLOW_S = 2.5
"""Where a call takes longer, constant outputs are not looked for."""
LEAST_NOISE = 1e-3
"""Relative difference of two calls that another order of summing may make."""

Outputs = Mapping[str, torch.Tensor]


def check_reference(
    operator: OperatorAdapter,
    cases: Sequence[Case],
    device: torch.device,
    known: dict[str, list[str]],
) -> list[str]:
    """Names of the outputs that do not depend on the inputs; found once for a state of its files.

    Args:
        cases: smallest first.
        known: what was found before, by the operator's key; it is added to.

    Raises:
        DatasetError: when the reference fails or is random.
    """
    cases = [case for case in cases if _has_outputs(operator, case)]
    if operator.key not in known and cases:
        slow = require_repeatable(operator, cases[0], device) > SLOW_S
        require_right_draws(operator, cases[0], device)
        # Stored inputs are the same in every draw, so that nothing can be seen to depend.
        drawn = [case for case in cases if not case.files]
        known[operator.key] = [] if slow else constant_outputs(operator, drawn, device)
    return known.get(operator.key, [])


def check_operator(message: CheckOperator, device: torch.device) -> OperatorChecked:
    """What makes an operator unfit to judge candidates by, in sentences; none when it is fit."""
    (folder, _), limit_s = message.places, message.limit_s
    answer = OperatorChecked(request_id=message.request_id)
    if unloaded := [fault for file in FILES if (fault := _load_fault(folder, file, limit_s))]:
        # An adapter needs all of them, and would name the first.
        return answer.model_copy(update={"problems": unloaded})
    try:
        operator = OperatorAdapter(
            Definition.model_validate(message.definition),
            *message.places,
            limit_s,
        )
        cases = [operator.case(Workload.model_validate(w)) for w in message.workloads]
        problems = own_code_problems(operator, cases[:1], device) or [
            f"Output {name!r} of {operator.definition.name} does not depend on the inputs: a "
            "constant would pass for it"
            for name in check_reference(operator, cases, device, {})
        ]
        draws = operator.draws_held_out
        return answer.model_copy(update={"problems": problems, "draws_held_out": draws})
    except HarnessError as error:
        said = str(error)
    except Exception as error:  # the operator's own code may raise anything
        said = f"The operator's code failed: {type(error).__name__}: {error}"
    return answer.model_copy(update={"problems": [said[:1_000]]})


def _load_fault(folder: Path | None, file: str, limit_s: float) -> str | None:
    """Why a file of an operator's folder cannot be imported; None where it can, or is not there."""
    try:
        loaded(folder, file, limit_s)
    except DatasetError as error:
        return str(error)[:1_000]
    return None


def own_code_problems(
    operator: OperatorAdapter, cases: Sequence[Case], device: torch.device
) -> list[str]:
    """What fails of the definition's code and of what stands for it, in sentences.

    A trial calls one or the other: the definition's code is what `compare_to='reference'` times,
    and an operator with an oracle of its own is judged without it.
    """
    problems: list[str] = []
    for case in cases:
        inputs = operator.make_inputs(case, fresh_seed(), operator.families[0], device)
        for outputs in (operator.reference_outputs, operator.expected_outputs):
            try:
                outputs(case, inputs)
            except DatasetError as error:
                problems.append(str(error)[:1_000])
    return list(dict.fromkeys(problems))


def _has_outputs(operator: OperatorAdapter, case: Case) -> bool:
    shapes = operator.definition.output_shapes(operator.definition.axis_values(case.axes))
    return any(math.prod(shape or ()) for shape in shapes.values())


def require_repeatable(operator: OperatorAdapter, case: Case, device: torch.device) -> float:
    """Calls the reference, or what stands for it, several times on the same inputs.

    Returns:
        Seconds of the quickest call: the first one loads what others find, and on a busy machine
        any may be late.

    Raises:
        DatasetError: when the outputs differ by more than the operator's tolerance.
    """
    inputs = operator.make_inputs(case, fresh_seed(), operator.families[0], device)
    began = before = time.monotonic()
    first = operator.trusted(case, inputs)
    quickest = time.monotonic() - before
    for _ in range(MOST_CALLS - 1):
        before = time.monotonic()
        again = operator.trusted(case, inputs)
        quickest = min(quickest, time.monotonic() - before)
        differing = _differing(operator, inputs, first, again)
        if differing:
            raise DatasetError(
                f"The reference is random: two calls on the same inputs gave another "
                f"{differing[0]!r}, so that no candidate can be compared with it",
                where=operator.reference_place,
                remedy="Make it a function of its inputs, with random numbers or a seed among "
                "them; or, where the output is a draw, say by which probabilities in policy.toml: "
                f"[sampled.{differing[0]}].",
            )
        if time.monotonic() - began > PATIENCE_S:
            break
    return quickest


def require_right_draws(operator: OperatorAdapter, case: Case, device: torch.device) -> None:
    """Calls a reference that draws at random on fresh inputs, for as long as is usual here.

    Raises:
        DatasetError: when it does not draw by the probabilities that its policy names.
    """
    began, draws = time.monotonic(), SampledDraws(operator, random.Random(fresh_seed()))
    while draws and time.monotonic() - began < PATIENCE_S:
        inputs = operator.make_inputs(case, fresh_seed(), operator.families[0], device)
        outputs = operator.trusted(case, inputs)
        for name in operator.sampled:
            answer = operator.compare(name, inputs, outputs[name], outputs[name])
            if not answer["ok"]:
                raise _wrong_draws(operator, str(answer["message"]))
        draws.note(inputs, outputs)
    if (wrong := draws.wrong()) is not None:
        raise _wrong_draws(operator, wrong[1].message)


def _wrong_draws(operator: OperatorAdapter, message: str) -> DatasetError:
    return DatasetError(
        f"The reference does not draw by the probabilities that it is said to: {message}",
        where=operator.reference_place,
        remedy="Correct the reference, or [sampled] in policy.toml.",
    )


def constant_outputs(
    operator: OperatorAdapter, cases: Sequence[Case], device: torch.device
) -> list[str]:
    """Names of the outputs that were the same for all families of inputs.

    Args:
        cases: whose inputs are drawn, smallest first; the first and the last are tried, since a
            small workload may have but one answer.
    """
    ends = [cases[0], cases[-1]] if len(cases) > 1 else list(cases)
    names: set[str] | None = None
    for case in ends:
        found = _constant_for(operator, case, device)
        names = found if names is None else names & found
        if not names:
            return []
    return [name for name in operator.definition.outputs if name in (names or set())]


def _constant_for(operator: OperatorAdapter, case: Case, device: torch.device) -> set[str]:
    first: Outputs = {}
    names: set[str] = set()
    for family in (operator.families[0], *operator.families):
        inputs = operator.make_inputs(case, fresh_seed(), family, device)
        outputs = operator.trusted(case, inputs)
        if not first:
            first, names = outputs, {name for name, value in outputs.items() if value.numel()}
            continue
        names = {name for name in names if _same(first[name], outputs[name])}
        if not names:
            break
    return names


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool(torch.isclose(one.double(), other.double(), 0, 0, equal_nan=True).all())


def _differing(
    operator: OperatorAdapter, inputs: Mapping[str, Value], first: Outputs, again: Outputs
) -> list[str]:
    """Names of the outputs that two calls on the same inputs gave differently, but for draws."""
    if operator.compares_together:
        answer = operator.compare_together(inputs, dict(first), dict(again))
        return [] if answer["ok"] else list(first)[:1]
    fixed = [name for name in first if name not in operator.sampled]
    return [name for name in fixed if not _alike(operator, name, inputs, first, again)]


def _alike(
    operator: OperatorAdapter,
    name: str,
    inputs: Mapping[str, Value],
    first: Outputs,
    again: Outputs,
) -> bool:
    one, other = first[name], again[name]
    if operator.compares(name):
        return bool(operator.compare(name, inputs, one, other)["ok"])
    if not one.dtype.is_floating_point:
        return torch.equal(one, other)
    allowed = max(LEAST_NOISE, 2 * torch.finfo(one.dtype).eps)
    one, other = one.double(), other.double()
    finite = one.isfinite() & other.isfinite()
    if not _same(one[~finite], other[~finite]):
        return False
    return bool((one - other)[finite].norm() <= allowed * one[finite].norm())
