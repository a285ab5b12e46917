"""The processes of one trial: what each of them builds, and their end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..messages.candidate import BuildRequest
from ..messages.judge import EvaluatePlan
from ..schema.flashinfer_trace import Definition, Solution
from .processes.candidate_process import ProcessSession
from .processes.context import JudgeContext
from .processes.device import FAKE_TARGET
from .processes.progress import Cancellation

logger = logging.getLogger(__name__)

COMPILE_SHARE = 0.9
"""Of the time of a build, for its compilers: what they were doing can be told in the rest."""


class TrialProcesses:
    """Starts the processes of a trial; a cancellation ends them, and so does `close`."""

    def __init__(
        self,
        plan: EvaluatePlan,
        context: JudgeContext,
        definition: Definition,
        solution: Solution,
        cancellation: Cancellation,
    ) -> None:
        self._plan, self._context, self._definition = plan, context, definition
        self._solution, self._cancellation = solution, cancellation
        self._sessions: list[ProcessSession] = []
        self._endings: list[Callable[[], None]] = []

    @property
    def first(self) -> ProcessSession | None:
        """The process that was started first."""
        return self._sessions[0] if self._sessions else None

    def spawn(self, target: str | None = None, *, wait: bool = True) -> ProcessSession:
        """Starts a process that runs a candidate, or takes a prewarmed one.

        Args:
            target: architecture of the device that it finds where there is none; None: the usual
                one where the plan compiles for it, else the first.
            wait: for its context; who does not asks whether it `came_up`.
        """
        compiled = self._plan.checks.static_targets or [FAKE_TARGET]
        usual = FAKE_TARGET if FAKE_TARGET in compiled else compiled[0]
        return self._kept(self._context.spawn(target or usual, wait=wait))

    def spawn_for_timing(self, baseline: bool) -> tuple[ProcessSession, BuildRequest]:
        """A process to time calls in, and what it is to build."""
        return self.spawn(), self.build_of(baseline=baseline)

    def spawn_to_record(self, baseline: bool) -> tuple[ProcessSession, BuildRequest]:
        """A process that records calls, and what it is to build."""
        return self._kept(self._context.spawn_recorder()), self.build_of(baseline=baseline)

    def build_of(self, *, baseline: bool) -> BuildRequest:
        """The request that builds the candidate, or its baseline."""
        plan, solution, digest = self._plan, self._solution, self._plan.content_hash
        if baseline:
            assert plan.baseline is not None
            solution = Solution.model_validate(plan.baseline)
            digest = plan.baseline_hash or plan.content_hash
        return BuildRequest.of(
            solution.model_dump(mode="json"),
            content_hash=digest,
            argument_count=len(self._definition.inputs),
            output_count=len(self._definition.outputs),
            output_names=[*self._definition.outputs],
            cuda_arch=self._context.arch,
            compile_s=COMPILE_SHARE * plan.build_timeout_s,
        )

    def end_with(self, *endings: Callable[[], None]) -> None:
        """Has `close` call these, too: side by side, and before it ends the other processes."""
        self._endings += endings

    def close(self) -> None:
        """Ends every process of the trial and frees its memory, each whatever becomes of others.

        All are asked to go at once: it takes the driver a while to take a context down. Later runs
        of a race get what the first process has compiled.
        """
        plan, first = self._plan, self.first
        if plan.race and first is not None:
            self._context.race_kernels.keep(plan.race, plan.content_hash, first.triton_cache)
        for session in self._sessions:
            session.ask_to_exit()
        for some in (self._endings, [session.close for session in self._sessions]):
            if some:
                with ThreadPoolExecutor(len(some)) as threads:
                    list(threads.map(_ended, some))

    def _kept(self, session: ProcessSession) -> ProcessSession:
        self._sessions.append(session)
        self._cancellation.watch(session)
        return session


def _ended(end: Callable[[], None]) -> None:
    try:
        end()
    except Exception:
        logger.exception("A process of a trial was not ended as it should be")
