"""Compiles a candidate for targets that need not be here, in a process of its own.

Runs while correctness is checked: it needs neither the device nor the results.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence

from ...errors import HarnessError
from ...messages.candidate import (
    BuildRequest,
    Built,
    CandidateFault,
    Compiled,
    CompiledKernel,
    CompileRequest,
)
from ...schema.evaluation import Failure, Stage, StaticCheck, StaticKernel, Status
from ...schema.flashinfer_trace import Solution
from ...text import shorten
from ..calls.judged_call import CallOptions, JudgedCall
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import OperatorAdapter
from ..processes.candidate_process import ProcessSession, request
from ..processes.context import JudgeContext
from ..processes.device import HOST, device_facts
from ..processes.lost import EXCERPT_CHARACTERS, ProcessLost
from ..processes.progress import Cancellation
from .failures import build_failure, lost_failure
from .not_judged import REMEDIES

UNFINISHED = "it was not finished when the trial ended"
NOTE_CHARACTERS = 1_200
PYTHON_REASON = "a Python candidate has no kernels of its own to compile"


class StaticChecker:
    """Compiles one solution for targets, in a thread.

    Args:
        targets: e.g. 'sm_90', 'sm_100'.
        timeout_s: most seconds for building and for compiling, each.
    """

    def __init__(
        self,
        context: JudgeContext,
        operator: OperatorAdapter,
        solution: Solution,
        build: BuildRequest,
        targets: Sequence[str],
        timeout_s: float,
        cancellation: Cancellation,
    ) -> None:
        self._context = context
        self._operator = operator
        self._build = build
        self._python = solution.spec.language.value == "python"
        self._targets = list(targets)
        self._timeout_s = timeout_s
        self._cancellation = cancellation
        self._session: ProcessSession | None = None
        self._thread: threading.Thread | None = None
        self.check = StaticCheck(status="unavailable", reason=UNFINISHED)
        self.failure: tuple[Status, Failure] | None = None
        self.fault: HarnessError | None = None
        """The failure of the harness that prevented the check, if any."""
        self.lacking: tuple[Status, Failure] | None = None
        """What this machine lacks for the check, if anything."""

    def start(self, input_set: InputSet) -> None:
        """Starts compiling; kernels are specialised on these inputs."""
        if self._python:
            self.check = StaticCheck(status="unavailable", reason=PYTHON_REASON)
            return
        self._context.start_compiler()
        self._thread = threading.Thread(target=self._run, args=[input_set], daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> StaticCheck:
        """Waits for the result; unfinished when it is not there in time."""
        if self._thread is not None:
            self._thread.join(timeout=max(seconds, 0.0))
            if self._thread.is_alive():
                self.stop()
        return self.check

    def stop(self) -> None:
        """Ends the process; the check stays unfinished."""
        if self._session is not None:
            self._session.close()

    def _run(self, input_set: InputSet) -> None:
        try:
            self._session = self._context.spawn_compiler()
            self._cancellation.watch(self._session)
            judged_call = JudgedCall(
                self._session,
                self._operator.definition,
                HOST,
                random.Random(),
                by_destination=self._build.destination_passing_style,
            )
            try:
                self.check = self._compiled(judged_call, input_set)
            finally:
                judged_call.close()
        except HarnessError as error:
            self.fault = error
            self.check = StaticCheck(status="unavailable", reason=str(error)[:400])

    def _compiled(self, judged_call: JudgedCall, input_set: InputSet) -> StaticCheck:
        built = request(judged_call.session, self._build, Built, self._timeout_s)
        if isinstance(built, ProcessLost):
            return self._lost(judged_call, built)
        if built.fault is not None:
            if built.fault.kind in REMEDIES:
                return self._unavailable(built.fault)
            self.failure = build_failure(built.fault)
            return StaticCheck(status="failed", reason=shorten(built.fault.message, 600))
        lost = judged_call.map([input_set.case])
        if lost is not None:
            return self._lost(judged_call, lost)
        call = judged_call.request_for(
            input_set, judged_call.placed(input_set), CallOptions(late=False)
        )
        message = CompileRequest(
            targets={target: device_facts(target) for target in self._targets},
            arguments=call.arguments,
            outputs=call.outputs,
        )
        compiled = request(judged_call.session, message, Compiled, self._timeout_s)
        if isinstance(compiled, ProcessLost):
            return self._lost(judged_call, compiled)
        return self._check_of(compiled)

    def _check_of(self, compiled: Compiled) -> StaticCheck:
        if compiled.fault is not None and compiled.fault.kind in ("out_of_order", *REMEDIES):
            return self._unavailable(compiled.fault)
        failures = {
            target: shorten(text, EXCERPT_CHARACTERS)
            for target, text in sorted_targets(compiled.failures)
        }
        reason = shorten(" ".join(compiled.notes), NOTE_CHARACTERS) or None
        if compiled.fault is not None:
            reason = shorten(compiled.fault.message, 600)
            self.failure = build_failure(compiled.fault)
        elif failures:
            self.failure = Status.COMPILE_ERROR, target_failure(failures)
        return StaticCheck(
            status="failed" if self.failure else "built",
            reason=reason,
            kernels=[static_kernel(kernel) for kernel in compiled.kernels],
            failures=failures,
        )

    def _unavailable(self, fault: CandidateFault) -> StaticCheck:
        if fault.kind in REMEDIES:
            self.lacking = build_failure(fault)
        return StaticCheck(status="unavailable", reason=shorten(fault.message, 600))

    def _lost(self, judged_call: JudgedCall, lost: ProcessLost) -> StaticCheck:
        self.failure = lost_failure(lost, Stage.COMPILE, None, judged_call.session.log())
        return StaticCheck(status="failed", reason=lost.detail)


def with_local(targets: Sequence[str], capability: str | None) -> list[str]:
    """The targets, and that of a device of this compute capability; no targets stay none."""
    local = f"sm_{capability.replace('.', '')}" if capability else None
    known = {target.rstrip("af") for target in targets}
    return [*targets, *([local] if local and known and local not in known else [])]


def sorted_targets(failures: Mapping[str, str]) -> list[tuple[str, str]]:
    """Targets and compiler messages, oldest architecture first."""
    return sorted(failures.items(), key=lambda item: (len(item[0]), item[0]))


def target_failure(failures: Mapping[str, str]) -> Failure:
    """The failure for targets that do not compile, each different message shown once.

    Args:
        failures: by target, the compiler's message, the place in its first line.
    """
    shown: dict[str, list[str]] = {}
    for target, text in failures.items():
        shown.setdefault(text, []).append(target)
    first = next(iter(shown)).partition("\n")[0]
    targets = " and ".join(failures)
    return Failure(
        stage=Stage.COMPILE,
        kind="compile_error",
        message=f"It does not compile for {targets}: {shorten(first, 400)}",
        remedy="Correct the line named, or give the target code of its own.",
        excerpt=shorten(
            "\n".join(f"{', '.join(t)}:\n{text}" for text, t in shown.items()), EXCERPT_CHARACTERS
        ),
    )


def static_kernel(kernel: CompiledKernel) -> StaticKernel:
    """A compiled kernel as in the record; its occupancy is computed later."""
    return StaticKernel(
        name=shorten(kernel.name, 500),
        target=shorten(kernel.target, 40),
        config=dict(kernel.config),
        registers=kernel.registers,
        shared_bytes=kernel.shared_bytes,
        stack_bytes=kernel.stack_bytes,
        spill_bytes=kernel.spill_bytes,
        threads=kernel.threads,
        instructions=dict(kernel.opcodes),
    )
