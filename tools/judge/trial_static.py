"""Compiling for targets within a trial: beside its checks, or in their place.

Without a GPU the launches that compiling captures are compared with those that were interpreted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..devices.targets import architectures_of
from ..schema.evaluation import Failure, StaticCheck, Status
from ..schema.flashinfer_trace import Solution
from .calls.judged_call import JudgedCall, has_outputs
from .checks import integrity
from .checks.launch_check import LaunchChecks
from .checks.not_judged import not_judged, other_device, with_checked
from .checks.static_check import PYTHON_REASON, StaticChecker, with_local
from .checks.time_budget import StageTimes
from .checks.workload_checks import Checking
from .evaluation_record import Verdict
from .host_code import unanswered
from .operators.operator_adapter import Case
from .processes.candidate_process import ProcessSession
from .processes.lost import ProcessLost
from .trial_parts import TrialParts
from .trial_processes import TrialProcesses

STATIC_WAIT_S = 20.0
BESIDE_WAIT_S = 8.0
"""For compilers beside a run on a device, at scopes of every workload."""
MOST_BESIDE_BYTES = 256 << 20
"""Of inputs, which are made on the host to be compiled with."""
DEVICE_CODE = re.compile(r"triton|_compile_kernel|cuda_sources|\.cu\b|cutlass|tilelang")
"""Words of Python that brings device code; other Python has nothing to compile."""
HOST_CODE = (
    "C++ ran on this machine's processor: its tensors said that they lie on a device, but what it "
    "reads by their addresses, or asks of the machine itself, is not the same on a GPU"
)


class TrialStatic:
    """Compiles a trial's candidate for targets.

    Args:
        cases: the workloads that can be run, cheapest first.
    """

    def __init__(
        self,
        parts: TrialParts,
        solution: Solution,
        processes: TrialProcesses,
        cases: Sequence[Case],
        times: StageTimes,
    ) -> None:
        plan, context = parts.plan, parts.context
        self._plan, self._generator = plan, parts.generator
        self._processes = processes
        definition = parts.operator.definition
        self._called = [case for case in cases if has_outputs(definition, case)] or cases[:1]
        """One without output elements may launch nothing."""
        if plan.checks.execute and not context.interpreted:
            # Shown beside a run: what would keep the device waiting is left out.
            nbytes = parts.operator.input_bytes
            self._called = [c for c in self._called[:1] if nbytes(c) <= MOST_BESIDE_BYTES]
        self._times = times
        self._cancellation = parts.cancellation
        self._language = solution.spec.language.value
        self._sources = {source.path: source.content for source in solution.sources}
        self._names_device_code = any(map(DEVICE_CODE.search, self._sources.values()))
        capability = context.info.compute_capability
        self.not_here = other_device(solution.spec.target_hardware, capability)
        """Why the candidate cannot run on this device; None when it can."""
        self._targets = plan.checks.static_targets
        if self.not_here is None:
            self._targets = with_local(self._targets, capability)
        elif not self._targets:
            self._targets = architectures_of(solution.spec.target_hardware)
        self._checker = StaticChecker(
            parts, solution, processes.build_of(baseline=False), self._targets
        )
        self._started = False

    @property
    def running(self) -> bool:
        """Whether it compiles."""
        return self._checker.running

    def start(self) -> None:
        """Starts compiling, where there is something to compile."""
        if self._started or not self._called or not self._targets:
            return
        verified = self._plan.checks.correctness_budget > 0
        if self._language == "python" and not (self._names_device_code or verified):
            self._checker.check = StaticCheck(status="unavailable", reason=PYTHON_REASON)
            return
        self._started = True
        seeds = {case.uuid: self._generator.first_seed(case) for case in self._called}
        self._checker.start(self._called, seeds)

    def check(self, patience_s: float) -> StaticCheck | None:
        """The check, awaited for so long; None where the plan asks for none beside its runs."""
        if not self._targets and self._plan.checks.execute:
            return None
        with self._times.measured("static"):
            return self._checker.wait(patience_s)

    def _whole(self) -> StaticCheck:
        with self._times.measured("static"):
            check = self._checker.wait(2 * self._plan.build_timeout_s)
        self._cancellation.check()
        return check

    def alone(
        self, lack: tuple[str, str] | None, built: Callable[[ProcessSession], Verdict | None]
    ) -> Verdict | None:
        """Compiles without running: scope static, and what this machine cannot run.

        Args:
            lack: kind and words of what is missing here; None at scope static.
            built: waits for a build, and returns what failed.
        """
        self.start()
        check, checker = self._whole(), self._checker
        if checker.fault is not None:
            raise checker.fault
        if checker.failure is not None:
            return checker.failure
        if lack is not None:
            return not_judged(*lack)
        if checker.lacking is not None:
            return checker.lacking
        if check.status == "built":
            return None
        session = self._processes.spawn()
        session.ask(self._processes.build_of(baseline=False))
        return built(session)

    def all_the_same(self, failure: Failure) -> Verdict:
        """What compiling shows of a candidate that cannot run here; its own failure, if it has one.

        The check is awaited to its end.
        """
        self.start()
        if not self._started:
            return Status.NOT_JUDGED, failure
        check = self._whole()
        return self._checker.failure or (Status.NOT_JUDGED, with_checked(failure, check))

    def compare_launches(
        self, checking: Checking, opened: Callable[[str, Case], JudgedCall | ProcessLost]
    ) -> Verdict | None:
        """Compares what was interpreted with what is compiled; the candidate's failure, if any.

        Args:
            opened: starts a process of the candidate as on a target, built and mapped for a case.
        """
        if self._language == "cpp":
            checking.not_run[integrity.LAUNCHES] = HOST_CODE
            return None
        if not self._started:
            return None
        check = self.check(max(checking.seconds_left, STATIC_WAIT_S))
        self._cancellation.check()
        failed = set(check.failures) if check is not None else set[str]()
        if failed and failed >= set(self._targets) and self._checker.failure is not None:
            return self._checker.failure
        if self._checker.failure is not None and not failed:
            checking.not_run[integrity.LAUNCHES] = self._checker.failure[1].message
            return None
        passed = [case for case in self._called if checking.passed(case)]
        signs = unanswered(self._sources)
        LaunchChecks(checking, self._checker.launches, failed, self._targets, opened, signs).run(
            passed, interpret=self._plan.checks.determinism_runs > 1
        )
        if checking.failed is None or checking.failed.failure is None:
            return None
        return checking.failed.status or Status.RUNTIME_ERROR, checking.failed.failure
