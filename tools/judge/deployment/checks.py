"""Makes calls as a framework makes them: captured, compiled, without waiting for the device.

The program has passed by then. It is called in a process of its own, so that what breaks there
breaks nothing else, and each output is judged as in any call. What fails is a warning that says
where the program cannot be used; what the process says of waits and memory is a claim.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ...errors import HarnessError
from ...messages.candidate import BuildRequest, Built
from ...schema.evaluation import Finding, Severity, Stage
from ..calls.judged_call import CallOptions, CallOutcome, JudgedCall, has_outputs, slots_of
from ..checks.call_verdict import judge_call
from ..checks.failures import shielded_finding
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import Case
from ..processes import triton_cache
from ..processes.candidate_process import CandidateSession
from ..processes.lost import ProcessLost
from ..trial_parts import TrialParts

GRAPH = "runs_in_a_cuda_graph"
COMPILED = "runs_under_torch_compile"
WAITS = "lets_the_host_go_on"
MEMORY = "takes_little_memory"
CLAIMS = (WAITS, MEMORY, COMPILED, GRAPH)

NEEDS_DEVICE = "needs a GPU"
LEAST_S = 20.0
"""For these calls, where the budget was spent on sizes."""
LITTLE_BYTES = 64 << 20
"""Of extra memory, where the tensors of a call are smaller."""


class DeploymentChecks:
    """The calls of one program.

    Args:
        start: starts a process that has no program yet; its calls.
        build: what the process is to build.
    """

    def __init__(
        self, start: Callable[[], JudgedCall], build: BuildRequest, parts: TrialParts
    ) -> None:
        self._start_process, self._build = start, build
        self._started: JudgedCall | None = None
        self._parts, self._operator = parts, parts.operator
        self._deadline = max(parts.deadline, time.monotonic() + LEAST_S)
        self._on_device = not parts.context.interpreted
        self.findings: list[Finding] = []
        self.done: list[str] = []
        self.not_run: dict[str, str] = {}

    def run(self, cases: Sequence[Case], first: CandidateSession) -> None:
        """Makes the calls on the first and the last of the cases, which have passed.

        Args:
            first: a process of the same program, for the kernels that it has compiled.
        """
        usable = [case for case in cases if has_outputs(self._operator.definition, case)]
        if not usable:
            return
        self._parts.reporter.step(Stage.INTEGRITY, "calling it as frameworks do")
        ends = [usable[0]] if usable[0] is usable[-1] else [usable[0], usable[-1]]
        try:
            self._start(ends, first)
            self._watched(ends if self._on_device else ends[:1])
            if not self._on_device:
                self.not_run |= dict.fromkeys((MEMORY, COMPILED, GRAPH), NEEDS_DEVICE)
                return
            self._compiled(ends[0])
            self._captured(ends[0])
        except (_EndedError, HarnessError, RuntimeError) as ended:
            # What is done here decides nothing: it must not cost a verdict that was reached.
            undone = set(CLAIMS) - {*self.done, *self.not_run} - {f.claim for f in self.findings}
            self.not_run |= dict.fromkeys(sorted(undone), str(ended))

    def close(self) -> None:
        """Frees the memory of the calls, if any were made."""
        if self._started is not None:
            self._started.close()

    def _start(self, cases: Sequence[Case], first: CandidateSession) -> None:
        self._started = self._start_process()
        session = self._started.session
        session.ask(self._build)
        built = session.answer(Built, self._parts.plan.build_timeout_s)
        if isinstance(built, ProcessLost):
            raise _EndedError(f"its process did not come up: {built.detail[:200]}")
        if built.fault is not None:
            raise _EndedError(f"it was not built a second time: {built.fault.message[:200]}")
        here, there = (getattr(s, "triton_cache", None) for s in (session, first))
        if self._on_device and here is not None and there is not None:
            triton_cache.copy_kernels(there, here)
        if (lost := self._started.map(list(cases))) is not None:
            raise _EndedError(f"its process was lost: {lost.detail[:200]}")

    def _watched(self, cases: Sequence[Case]) -> None:
        """Calls each case once as usual and once watched: what waits at first may be compiling."""
        waits: set[str] = set()
        seen, peaks = True, dict[str, int]()
        for case in cases:
            outcome, wrong = self._call(self._generate(case), CallOptions())
            if wrong is None:
                outcome, wrong = self._call(self._generate(case), CallOptions(way="watched"))
            if wrong is not None:
                raise _EndedError(f"a call in a process of its own was wrong: {wrong[:200]}")
            on_host = outcome.called.on_host if outcome is not None else None
            seen = seen and on_host is not None and on_host.waits is not None
            if on_host is not None:
                waits |= set(on_host.waits or ())
                if on_host.peak_bytes is not None:
                    peaks[case.uuid] = on_host.peak_bytes
        if seen:
            self._note(waits_finding(sorted(waits)), WAITS, cases[0])
        else:
            self.not_run[WAITS] = "calls of the driver cannot be seen here"
        for case in cases[-1:]:
            if case.uuid in peaks:
                own = sum(s.nbytes for s in slots_of(self._operator.definition, case))
                self._note(memory_finding(peaks[case.uuid], own), MEMORY, case)

    def _compiled(self, case: Case) -> None:
        mutable = self._operator.mutable_inputs
        if mutable:
            self.not_run[COMPILED] = f"the operator lets {', '.join(mutable)} be changed"
            return
        _, wrong = self._call(self._generate(case), CallOptions(way="compiled"))
        if wrong is None:  # the second call finds what is compiled
            _, wrong = self._call(self._generate(case), CallOptions(way="compiled"))
        message = f"As an operator that torch.compile calls it fails: {wrong}"
        self._note(_warning(COMPILED, message) if wrong else None, COMPILED, case)

    def _captured(self, case: Case) -> None:
        base = self._generate(case)
        outcome, wrong = self._call(base, CallOptions(way="captured"))
        message = f"It cannot be captured into a CUDA graph: {wrong}"
        if outcome is not None and wrong is None:
            again = self._parts.generator.perturbed(base)
            _, wrong = self._call(again, CallOptions(way="replayed"), outcome)
            message = f"Captured into a CUDA graph and launched on other values it fails: {wrong}"
        self._note(_warning(GRAPH, message) if wrong else None, GRAPH, case)

    def _generate(self, case: Case) -> InputSet:
        return self._parts.generator.generate(case)

    def _call(
        self, input_set: InputSet, options: CallOptions, at: CallOutcome | None = None
    ) -> tuple[CallOutcome | None, str | None]:
        """A call, and what was wrong with it; None: nothing.

        Raises:
            _EndedError: when there is no time left, or an ordinary call loses the process.
        """
        parts = self._parts
        parts.cancellation.check()
        if time.monotonic() > self._deadline:
            raise _EndedError("the budget of time was used up")
        timeout_s = parts.plan.call_timeout_s
        asked = CallOptions(**{**vars(options), "late": False, "timeout_s": timeout_s})
        assert self._started is not None
        outcome = self._started.call(input_set, asked, at.layout if at else None)
        parts.cancellation.check()
        if isinstance(outcome, ProcessLost) and options.way in ("called", "watched"):
            raise _EndedError(f"its process was lost: {outcome.detail[:200]}")
        verdict = judge_call(self._operator, input_set, outcome)
        found = outcome if isinstance(outcome, CallOutcome) else None
        return found, verdict.failure.message[:600] if verdict.failure is not None else None

    def _note(self, finding: Finding | None, claim: str, case: Case) -> None:
        if finding is None or finding.severity is Severity.NOTE:
            self.done.append(claim)
        if finding is not None:
            self.findings.append(shielded_finding(finding, case))


class _EndedError(Exception):
    """Raised when no further call can be made."""


def waits_finding(waits: Sequence[str]) -> Finding | None:
    """What is said of a program in whose calls the host waits."""
    if not waits:
        return None
    return _warning(
        WAITS,
        f"The host waits for the device in a call ({', '.join(waits)}): no graph can hold such a "
        "call, and who makes it launches nothing meanwhile.",
    )


def memory_finding(peak_bytes: int, own_bytes: int) -> Finding:
    """What is said of a call's extra memory: much of it is a warning.

    Args:
        own_bytes: of the call's inputs and outputs.
    """
    severity = Severity.WARNING if peak_bytes > max(own_bytes, LITTLE_BYTES) else Severity.NOTE
    return Finding(
        claim=MEMORY,
        severity=severity,
        message=f"A call takes up to {peak_bytes / 2**20:.4g} MiB of torch's memory beside its "
        f"inputs and outputs, which are {own_bytes / 2**20:.4g} MiB.",
        evidence={"peak_bytes": peak_bytes, "own_bytes": own_bytes},
    )


def _warning(claim: str, message: str) -> Finding:
    return Finding(claim=claim, severity=Severity.WARNING, message=message)
