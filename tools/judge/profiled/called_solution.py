"""A solution in a process of its own, built and called for a profile: nothing is judged."""

from __future__ import annotations

import random

import torch

from ...errors import DatasetError
from ...messages.candidate import BuildRequest, Built
from ...messages.judge import ProfiledSolution
from ...schema.flashinfer_trace import Definition, Workload
from ..calls.judged_call import JudgedCall
from ..checks.time_budget import StageTimes
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import OperatorAdapter
from ..processes.candidate_process import ProcessSession
from ..processes.context import JudgeContext
from ..processes.lost import ProcessLost


class CalledSolution:
    """The process, and the inputs that it is called on.

    Attributes:
        family: of the inputs; empty: the typical one.

    Args:
        session: fresh, or prewarmed.
        arena_address: as of a `JudgedCall`.
        device: of the inputs; None: the judge's.

    Raises:
        HarnessError: when the operator cannot be used.
    """

    def __init__(
        self,
        request: ProfiledSolution,
        context: JudgeContext,
        session: ProcessSession,
        arena_address: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self.request, self.context, self.session = request, context, session
        self._device = device or context.device
        self.times = StageTimes()
        self.family = ""
        self._operator = OperatorAdapter(
            Definition.model_validate(request.definition), *request.places
        )
        definition = self._operator.definition
        self._build = BuildRequest.of(
            request.solution,
            content_hash=request.content_hash,
            argument_count=len(definition.inputs),
            output_count=len(definition.outputs),
            output_names=[*definition.outputs],
            cuda_arch=context.arch,
        )
        self.judged_call = JudgedCall(
            session,
            definition,
            self._device,
            random.Random(),
            by_destination=self._build.destination_passing_style,
            arena_address=arena_address,
        )

    def built(self) -> tuple[list[InputSet], str | None]:
        """The inputs of each workload, made while it builds; why it was not built, or None."""
        self.session.ask(self._build)
        with self.times.measured("inputs"):
            input_sets = self._input_sets()
        with self.times.measured("build"):
            return input_sets, self._not_built(input_sets)

    def close(self) -> None:
        """Ends the process."""
        self.judged_call.close()

    def _input_sets(self) -> list[InputSet]:
        operator, device = self._operator, self._device
        family = self.family or operator.families[0]
        if family not in operator.families:
            raise DatasetError(
                f"The operator has no input family {family!r}",
                remedy=f"Its families are {', '.join(operator.families)}.",
            )
        made: list[InputSet] = []
        for one in self.request.workloads:
            case = operator.case(Workload.model_validate(one.workload))
            inputs = operator.make_inputs(case, one.seed, family, device)
            made.append(InputSet(case, family, one.seed, inputs, {}, {}))
        return made

    def _not_built(self, input_sets: list[InputSet]) -> str | None:
        built = self.session.answer(Built, self.request.build_timeout_s)
        if isinstance(built, ProcessLost):
            return f"its process was lost: {built.detail}"
        if built.fault is not None:
            return f"it could not be built: {built.fault.message}"
        lost = self.judged_call.map([one.case for one in input_sets])
        return f"its process was lost: {lost.detail}" if lost is not None else None
