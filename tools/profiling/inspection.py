"""One call looked into: what host code names, beside what the reference names; never a verdict.

The case is a workload, or one of the caller's own sizes: a verdict on those would be one on sizes
that the operator does not have, so none is made.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import RequestError, unknown_name
from ..evaluation.judge_pool import JudgePool
from ..messages.judge import CallInspected, InspectCall, SeededWorkload
from ..progress import OnProgress
from ..schema.flashinfer_trace import SafetensorsInput, Solution, Workload
from ..settings import Settings
from ..workloads.operators import Operator

SEED_BITS = 53
OWN = "own-"
"""Begins the uuid of a case of a caller's own sizes."""


@dataclass(frozen=True)
class InspectedCall:
    """What a call showed, and the case that it was made on."""

    workload: Workload
    found: CallInspected

    @property
    def own_sizes(self) -> bool:
        """Whether the sizes are the caller's, and no workload's."""
        return self.workload.uuid.startswith(OWN)


@dataclass(frozen=True)
class InspectionService:
    """Looks into calls on one device."""

    settings: Settings
    device: str
    pool: JudgePool

    async def inspect(
        self,
        operator: Operator,
        solution: Solution,
        progress: OnProgress,
        *,
        workload: str | None = None,
        axes: Mapping[str, int] | None = None,
        family: str = "",
        pairs: Mapping[str, str] | None = None,
    ) -> InspectedCall:
        """Calls a solution and the reference once, on the same inputs.

        Args:
            workload: a uuid; of sizes of one's own, the workload that they are changed from.
            axes: sizes of one's own; those that are not named are the workload's.
            family: of the inputs; empty: the typical one.
            pairs: names of the solution's tensors, and of the reference's that they are to be like.

        Raises:
            RequestError: when the sizes or the family are none of the operator's.
            InfrastructureError: when the judge died.
        """
        operator.require_workloads()
        case = case_of(operator, workload, axes)
        reference = operator.reference()
        with tempfile.TemporaryDirectory(prefix="kernel-harness-call-") as folder:
            request = InspectCall(
                request_id=secrets.token_hex(8),
                **operator.for_judge,
                solution=solution.model_dump(mode="json"),
                content_hash=solution.content_hash(),
                reference=reference.model_dump(mode="json"),
                reference_hash=reference.content_hash(),
                workloads=[
                    SeededWorkload(
                        workload=case.model_dump(mode="json"), seed=secrets.randbits(SEED_BITS)
                    )
                ],
                folder=folder,
                family=family,
                pairs=dict(pairs or {}),
                build_timeout_s=self.settings.build_timeout_s,
                call_timeout_s=self.settings.call_timeout_s,
            )
            await progress(0, 1, "calling the candidate and the reference")
            found = await self.pool.ask(self.device, request, CallInspected, progress)
        if found.not_made is not None:
            raise RequestError(f"Nothing was called: {found.not_made.rstrip('. ')}")
        return InspectedCall(case, found)


def case_of(operator: Operator, workload: str | None, axes: Mapping[str, int] | None) -> Workload:
    """The workload that a caller means, or one of sizes of the caller's own.

    Raises:
        RequestError: when there is no such axis, the sizes break a constraint, or the operator has
            no inputs for sizes that no workload has.
    """
    if workload is not None:
        found = operator.workload(workload)
    elif axes:
        found = min(operator.workloads, key=lambda w: _distance(w.axes, axes))
    else:
        found = min(operator.workloads, key=lambda w: sum(w.axes.values()))
    if not axes or all(found.axes.get(name) == size for name, size in axes.items()):
        return found
    definition = operator.definition
    for name, size in axes.items():
        if name not in definition.var_axes:
            raise unknown_name("varying axis", name, definition.var_axes)
        if not 0 <= size < 1 << 31:
            raise RequestError(f"The size {size} of {name!r} is none", remedy="Give a count.")
    if any(isinstance(given, SafetensorsInput) for given in found.inputs.values()):
        raise RequestError(
            f"The inputs of {operator.name} are stored, and only of its workloads' sizes",
            remedy="Name a workload.",
        )
    sizes = {**found.axes, **axes}
    if broken := definition.violated_constraints(sizes):
        raise RequestError(
            f"These sizes break {'; '.join(broken[:3])}",
            remedy=f"The nearest workload has {dict(found.axes)}: change more axes together.",
        )
    uuid = OWN + "-".join(f"{name}{size}" for name, size in sizes.items())
    return found.model_copy(update={"uuid": uuid[:100], "axes": sizes})


def _distance(have: Mapping[str, int], want: Mapping[str, int]) -> float:
    """How far sizes are from those that are wanted, in doublings."""
    return sum(
        abs((have.get(name, 0) + 1).bit_length() - (max(size, 0) + 1).bit_length())
        + (have.get(name) != size) * 0.5
        for name, size in want.items()
    )
