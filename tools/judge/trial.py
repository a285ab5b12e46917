"""Carries out one plan: start, build, compile for targets, check, time, record.

The plan says what to do, this module the order. A candidate's failure goes into the record; an
exception that leaves this module is one of the harness.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial

from ..errors import InfrastructureError
from ..messages.candidate import Built
from ..messages.judge import EvaluatePlan
from ..schema.drawn_inputs import InputSource, RandomGenerator
from ..schema.evaluation import Evaluation, Stage, Status
from ..schema.flashinfer_trace import Definition, Solution, Workload
from .calls.device_memory import little_is_free
from .calls.judged_call import JudgedCall
from .checks.call_verdict import prepare_verdict
from .checks.failures import build_failure, lost_failure
from .checks.held_out_process import HeldOutProcess
from .checks.not_judged import local_fault, nothing_ran
from .checks.time_budget import HOST_RATE, RATES, StageTimes, TimeBudget, in_time
from .checks.workload_checks import Checking
from .deployment.checks import DeploymentChecks
from .evaluation_record import TrialResult, Verdict, write_record
from .operators.held_out_cases import HeldOutCases, planned_held_out
from .operators.input_sets import InputGenerator, SeedBook
from .operators.operator_adapter import Case, OperatorAdapter
from .operators.reference_check import check_reference
from .processes.candidate_process import CandidateSession, ProcessSession
from .processes.context import JudgeContext
from .processes.lost import ProcessLost
from .processes.progress import Cancellation, Reporter
from .trial_parts import TrialParts
from .trial_processes import TrialProcesses
from .trial_static import BESIDE_WAIT_S, STATIC_WAIT_S, TrialStatic
from .trial_timing import TrialTiming, inputs_of_a_timing

NO_GPU = "no GPU: candidates ran on the CPU or in Triton's interpreter, whose times mean nothing"
STATIC_ONLY = "scope static does not run the candidate"
STATIC_WAIT_WHEN_FAILED_S = 1.5
"""From the trial's start: a failure is reported at once, but compiler errors explain many."""


class Trial:
    """Carries out one plan and writes its record."""

    def __init__(
        self,
        plan: EvaluatePlan,
        context: JudgeContext,
        reporter: Reporter,
        cancellation: Cancellation,
    ) -> None:
        self._plan = plan
        self._context = context
        self._reporter, self._cancellation = reporter, cancellation
        self._started = time.monotonic()
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._times = StageTimes()
        self._solution = Solution.model_validate(plan.solution)
        self.operator = OperatorAdapter(
            Definition.model_validate(plan.definition),
            *plan.places,
            plan.budget_s,
            plan.policy,
            plan.checks.input_family,
        )
        self._processes = TrialProcesses(
            plan, context, self.operator.definition, self._solution, cancellation
        )
        self._build = self._processes.build_of(baseline=False)
        source = self.operator.source_on(context.device)
        if plan.replay_generator:
            source = InputSource(generator=RandomGenerator(plan.replay_generator))
        self._book = SeedBook(plan.replay_seeds, plan.replay_families, source=source)
        self.generator = InputGenerator(
            self.operator, context.device, self._book, context.prefetched
        )
        self._parts = TrialParts(
            plan,
            context,
            self.generator,
            reporter,
            cancellation,
            random.Random(secrets.randbits(64)),
            self._started + plan.budget_s,
        )
        self.cases = [
            self.operator.case(Workload.model_validate(p.workload)) for p in plan.workloads
        ]
        faults = {case.uuid: self.operator.stored_fault(case) for case in self.cases}
        self._unusable = {uuid: fault for uuid, fault in faults.items() if fault is not None}
        self._runnable = [case for case in self.cases if case.uuid not in self._unusable]
        self._constant_outputs: list[str] = []
        self._checking: Checking | None = None
        self._reference_before = 0.0
        self._static = TrialStatic(
            self._parts, self._solution, self._processes, self._runnable, self._times
        )
        self._timing = TrialTiming(self._parts, self._processes, self._times)
        self._deployment: DeploymentChecks | None = None
        self._not_timed: str | None = None
        self._log = ""

    def start_compilers(self) -> None:
        """Starts the compilers of a plan that runs nothing; `run` then waits for them."""
        self._context.race_kernels.enter(self._plan.race)
        if self._runnable and not self._plan.checks.execute:
            self._static.start()

    @property
    def compiling(self) -> bool:
        """Whether the compilers that were started are at work."""
        return self._static.running

    def run(self) -> Evaluation:
        """Returns the record.

        Raises:
            HarnessError: when the harness, the operator or the machine failed.
        """
        with self._times.measured("drain"):
            most = max(map(self.operator.input_bytes, self._runnable), default=0)
            if little_is_free(self._context.device, most):
                self._context.drain()
        self._context.race_kernels.enter(self._plan.race)
        checks = self._plan.checks
        self._reporter.expect(2 + 2 * len(self.cases) + checks.held_out + checks.sizes)
        try:
            failed, ended = in_time(self._parts, self._carry_out, self._timing.timed_any)
            self._not_timed = ended or self._not_timed
            return self._evaluation(failed)
        finally:
            self._context.end_later(self._processes.close)

    def _carry_out(self) -> Verdict | None:
        """Runs the plan's stages; the first failure ends it."""
        if self._unusable and not self._runnable:
            raise next(iter(self._unusable.values()))
        lack = self._lack()
        if lack is not None or not self._plan.checks.execute:
            self._not_timed = NO_GPU if lack else STATIC_ONLY
            if lack is not None and not self._context.interpreted:
                self._not_timed = lack[1]
            self._reporter.step(Stage.COMPILE, "compiling for targets")
            return self._static.alone(lack, self._built)
        with self._times.measured("spawn"):
            self._reporter.step(Stage.COMPILE, "starting the candidate's process")
            session = self._processes.spawn(wait=False)
            if not little_is_free(self._context.device):
                self._context.begin_next()
        with self._times.measured("build"):
            self._reporter.step(Stage.COMPILE, "building")
            self._timing.pairs.give_kernels(session)
            session.ask(self._build)
            if not self._context.interpreted and self._plan.checks.static_targets:
                self._static.start()
            with self._times.measured("inputs_ahead"):
                known = self._context.checked_references
                self._constant_outputs = check_reference(
                    self.operator, self._runnable, self._context.device, known
                )
                if self._runnable:
                    self.generator.prepare(self._runnable[0])
            with self._times.measured("context"):
                session = self._with_context(session)
            self._prepare_more(lambda: not session.spoke())
            failed = self._built(session)
        if failed is not None:
            return failed
        self._parts = replace(self._parts, deadline=time.monotonic() + self._plan.budget_s)
        judged_call = self._judged_call(session)
        try:
            failed = self._checked(judged_call)
            checking = self._checking
            if failed is None and checking is not None and checking.repeated.lost_process:
                session, judged_call = self._replaced(judged_call)
            failed = failed or self._timed_all(judged_call)
            if failed is None:
                self._deploy(session)
            return failed
        finally:
            self._log = session.log()
            with self._times.measured("close"):
                self._processes.end_with(self._timing.pairs.close, judged_call.close)

    def _with_context(self, session: ProcessSession) -> ProcessSession:
        """The process once its CUDA context is there; another, asked to build, where it has none.

        The system may have ended it for lack of memory.
        """
        if session.came_up():
            return session
        another = self._processes.spawn()
        another.ask(self._build)
        return another

    def _lack(self) -> tuple[str, str] | None:
        """Kind and words of what keeps the candidate from being run here, if it is to be run."""
        if not self._plan.checks.execute:
            return None
        if self._static.not_here is not None:
            return "other_device", self._static.not_here
        if self._context.interpreted and self._solution.spec.language.value == "cuda":
            return "needs_gpu", "CUDA C++ cannot run without a GPU"
        return None

    def _judged_call(self, session: ProcessSession) -> JudgedCall:
        return JudgedCall(
            session,
            self.operator.definition,
            self._context.device,
            self._parts.rng,
            by_destination=self._build.destination_passing_style,
        )

    def _replaced(self, lost: JudgedCall) -> tuple[ProcessSession, JudgedCall]:
        """A new process in place of one that was lost through no fault of the candidate."""
        lost.close()
        session = self._processes.spawn()
        session.ask(self._build)
        judged_call = self._judged_call(session)
        if self._built(session) is not None or judged_call.map(self._runnable) is not None:
            raise InfrastructureError(
                "A second process of the candidate did not come up as the first one did",
                where="tools.judge",
                remedy="Evaluate again.",
            )
        return session, judged_call

    def _built(self, session: ProcessSession) -> Verdict | None:
        built = session.answer(Built, self._plan.build_timeout_s)
        self._cancellation.check()
        self._log = session.log()
        if isinstance(built, ProcessLost):
            return lost_failure(built, Stage.COMPILE, None, session.log())
        self._times.seconds["candidate_build"] = built.seconds
        if built.fault is None:
            return None
        self._log = f"{session.log()}\n{built.log}".strip()
        return build_failure(local_fault(built.fault, interpreted=self._context.interpreted))

    def _checked(self, judged_call: JudgedCall) -> Verdict | None:
        plan = self._plan
        held_out = planned_held_out(plan, self.operator, self._runnable, self._book)
        lost = judged_call.map(self._runnable)
        self._cancellation.check()
        if lost is not None:
            return lost_failure(lost, Stage.CORRECTNESS, None, judged_call.session.log())
        self._static.start()
        before = self._reference_before = self.generator.seconds
        time_budget = TimeBudget(
            deadline=self._parts.deadline - plan.timing_s,
            call_timeout_s=plan.call_timeout_s,
            interpreted=self._context.interpreted,
            rate=RATES.get(self._solution.spec.language.value, HOST_RATE),
            budget_s=plan.budget_s,
            reference_s=lambda: self.generator.seconds - before,
        )
        checking = self._checking = Checking(
            judged_call,
            self._parts,
            time_budget,
            cache(lambda: self._start_more(held_out, judged_call.session)),
        )
        judged_call.meanwhile = self._prepare_more
        with self._times.measured("correctness"):
            checking.run(self._runnable, held_out)
        first = next(iter(checking.records.values()), None)
        self._times.seconds["first_call"] = round(first.seconds_per_call, 4) if first else 0.0
        failed = checking.failed
        if failed is None:
            interpreted = self._context.interpreted
            if not checking.anything_passed:
                reasons = [r.reason for r in checking.records.values() if r.reason]
                reason = next(iter(reasons), "none was run")
                return nothing_ran(plan.budget_s, reason, interpreted=interpreted)
            if interpreted:
                return self._static.compare_launches(checking, self._opened_as)
            return None
        assert failed.status is not None and failed.failure is not None
        return failed.status, failed.failure

    def _prepare_more(self, waiting: Callable[[], bool]) -> None:
        """Draws inputs of calls to come while the candidate compiles."""
        if not self._plan.checks.timed or self._context.interpreted:
            return
        count = self._plan.checks.trials + inputs_of_a_timing(self._plan.checks)
        prepare = partial(prepare_verdict, self.operator)
        self.generator.prepare_more(self._runnable, count, waiting, prepare)

    def _start_more(
        self, held_out: HeldOutCases, checked: CandidateSession
    ) -> HeldOutProcess | None:
        """Starts what a right candidate needs, and a wrong one never waits for.

        Returns:
            The process of held-out cases, where there are some.
        """
        with self._times.measured("spawn_more"):
            process = self._start_held_out(held_out) if held_out.cases else None
            if self._plan.checks.timed and not self._context.interpreted:
                self._timing.start(self._parts, self._runnable, checked)
        return process

    def _start_held_out(self, held_out: HeldOutCases) -> HeldOutProcess:
        judged_call = self._judged_call(self._processes.spawn())
        self._processes.end_with(judged_call.close)
        return HeldOutProcess(
            judged_call,
            self._build,
            held_out.cases,
            self._plan.build_timeout_s,
            compiles=not self._context.interpreted,
        )

    def _timed_all(self, judged_call: JudgedCall) -> Verdict | None:
        checking = self._checking
        assert checking is not None
        if self._context.interpreted:
            self._not_timed = NO_GPU
            return None
        if not self._plan.checks.timed:
            self._not_timed = f"scope {self._plan.scope} does not time"
            return None
        self._static.check(BESIDE_WAIT_S if self._plan.checks.deployment else 0.0)
        # What the reference took so far is taken from no time of the candidate.
        deadline = self._parts.deadline + self.generator.seconds - self._reference_before
        deadline = max(deadline, time.monotonic() + self._plan.timing_s)
        self._parts = replace(self._parts, deadline=deadline)
        passed = [c for c in self._runnable if checking.records[c.uuid].passed]
        cases = [c for c in passed if c.uuid not in self.operator.policy.untimed]
        return self._timing.run(self._parts, cases, judged_call, checking)

    def _deploy(self, session: ProcessSession) -> None:
        """Has the program called as frameworks call it, where the plan asks for that."""
        checking = self._checking
        if checking is None or not self._plan.checks.deployment:
            return
        self._deployment = DeploymentChecks(
            lambda: self._judged_call(self._processes.spawn()), self._build, self._parts
        )
        self._processes.end_with(self._deployment.close)
        with self._times.measured("deployment"):
            self._deployment.run([c for c in self._runnable if checking.passed(c)], session)

    def _opened_as(self, target: str, case: Case) -> JudgedCall | ProcessLost:
        """A process of the candidate on a fake device of a target, built and mapped."""
        session = self._processes.spawn(target)
        session.ask(self._build)
        judged_call = self._judged_call(session)
        built = session.answer(Built, self._plan.build_timeout_s)
        if isinstance(built, ProcessLost):
            return built
        if built.fault is not None:
            return ProcessLost("crash", built.fault.message)
        return judged_call.map([case]) or judged_call

    def _evaluation(self, failed: Verdict | None) -> Evaluation:
        if failed is not None and failed[0] is Status.NOT_JUDGED:
            failed = self._static.all_the_same(failed[1])
        spent = time.monotonic() - self._started
        patience = min(max(self._plan.budget_s - spent, 2.0), STATIC_WAIT_S)
        if failed is not None:
            patience = max(STATIC_WAIT_WHEN_FAILED_S - spent, 0.0)
        static = self._static.check(patience)
        self._times.shared(self.generator.seconds, self.generator.seconds - self._reference_before)
        self._times.seconds["total"] = round(time.monotonic() - self._started, 4)
        first = self._processes.first
        return write_record(
            TrialResult(
                plan=self._plan,
                context=self._context,
                operator=self.operator,
                solution=self._solution,
                cases=self.cases,
                unusable={uuid: str(fault) for uuid, fault in self._unusable.items()},
                constant_outputs=self._constant_outputs,
                failed=failed,
                checking=self._checking,
                deployment=self._deployment,
                timing=self._timing.measured,
                timed=self._timing.timed,
                static=static,
                book=self._book,
                session=first,
                started_at=self._started_at,
                seconds=self._times.seconds,
                log=self._log,
                not_timed=self._not_timed,
            )
        )
