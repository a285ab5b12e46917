"""Runs references and baselines of a dataset's definitions, and says what is wrong with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from ...errors import HarnessError
from ...evaluation.plan import EvaluationRequest
from ...progress import OnProgress, ignore_progress
from ...schema.evaluation import UNDECIDED, Scope, Status
from ...workloads.dataset import Dataset
from ...workloads.operators import Operator
from ..run import Evaluates
from .rules import RuleFinding

Problems = Callable[[str], Awaitable[list[str]]]


async def benchmark_findings(
    dataset: Dataset,
    definitions: Sequence[str],
    device: Evaluates,
    problems_of: Problems,
    progress: OnProgress = ignore_progress,
) -> list[RuleFinding]:
    """What running shows of each definition: its reference, and its baseline on one workload.

    Args:
        problems_of: what makes an operator unfit to judge by, found by running its reference.
    """
    found: list[RuleFinding] = []
    for number, name in enumerate(definitions):
        await progress(number, len(definitions), f"{number} of {len(definitions)}: {name}")
        if (operator := dataset.operators.get(name)) is None:
            continue
        file = f"definitions/{operator.definition.op_type}/{name}.json"
        try:
            operator.require_workloads()
            faults = await problems_of(name)
            found += [RuleFinding(True, name, file, fault) for fault in faults]
            if not faults and (finding := await _baseline(operator, device, file)) is not None:
                found.append(finding)
        except HarnessError as error:
            found.append(RuleFinding(True, name, file, str(error)))
    return found


async def _baseline(operator: Operator, device: Evaluates, file: str) -> RuleFinding | None:
    """What a smoke test of the definition's baseline shows; None when it passes."""
    if (baseline := operator.baseline()) is None:
        return None
    request = EvaluationRequest(operator, baseline, Scope.SMOKE)
    record = (await device.evaluate(request, 3600.0)).evaluation
    if record.status is Status.PASSED:
        return None
    failed = record.status not in UNDECIDED
    why = f": {record.failure.message}" if record.failure else ""
    message = f"the baseline {baseline.name!r} is {record.status}{why}"
    return RuleFinding(failed, operator.name, file, message)
