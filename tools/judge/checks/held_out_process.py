"""Runs held-out cases in a process of their own; its output is discarded.

A process can print what it has seen at any later time, or put it into the message of a later fault.
So the process that is given held-out cases is given no others, and its log and the messages of its
faults are never shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...messages.candidate import BuildRequest, Built, CandidateFault
from ..calls.judged_call import JudgedCall
from ..operators.operator_adapter import Case
from ..processes import triton_cache
from ..processes.candidate_process import CandidateSession
from ..processes.lost import ProcessLost
from ..trial_parts import TrialParts


class HeldOutProcess:
    """Builds the candidate in a second process while the public cases are checked.

    Args:
        judged_call: of a process that was just started.
        timeout_s: most seconds for the build.
        compiles: whether kernels are compiled, and not interpreted.
    """

    def __init__(
        self,
        judged_call: JudgedCall,
        build: BuildRequest,
        cases: Sequence[Case],
        timeout_s: float,
        *,
        compiles: bool,
    ) -> None:
        self.judged_call = judged_call
        self._compiles = compiles
        self._timeout_s = timeout_s
        judged_call.session.ask(build)
        judged_call.begin_map(list(cases))

    def ready(self, first: CandidateSession) -> ProcessLost | CandidateFault | None:
        """Waits for the build and copies the kernels that the first process has compiled.

        These are files that the candidate's process wrote, so what it knows can cross with them: of
        public cases, which it is given in any case, and never back. Where nothing is compiled
        nothing crosses.
        """
        built = self.judged_call.session.answer(Built, self._timeout_s)
        lost = self.judged_call.mapped()
        there = getattr(first, "triton_cache", None)
        here = getattr(self.judged_call.session, "triton_cache", None)
        if self._compiles and there is not None and here is not None:
            triton_cache.copy_kernels(there, here)
        if isinstance(built, ProcessLost):
            return built
        return built.fault or lost

    def over(self, parts: TrialParts) -> None:
        """Ends the process; one that is to be timed gives back the memory that it keeps unused."""
        if parts.plan.checks.timed_held_out:
            self.judged_call.collect(rest=True)
        else:
            parts.context.end_later(self.judged_call.close)
