"""Paired, verified, cold calls of candidate and baseline; raw samples only.

A pair is one call of each on the same inputs, in the order A B B A …, so that drift cancels; a
block is a fresh pair of processes, so that placement does. Inputs change between pairs and every
timed output is verified, so that a call cannot be answered from an earlier one. Spans come from a
clock inside the candidate's process and are claims: the judge bounds them by its own wall clock, by
a second clock, by the host's time and by what the device can physically do.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from ...messages.judge import EvaluatePlan
from ...schema.evaluation import ClockSample, Finding, Stage, Status
from ..calls.judged_call import CallOptions, CallOutcome, JudgedCall
from ..checks import integrity
from ..operators.input_sets import InputGenerator, InputSet
from ..operators.operator_adapter import Case, OperatorAdapter
from ..processes.context import JudgeContext
from ..processes.progress import Cancellation, Reporter
from .case_floors import DEVICE, CaseFloors
from .clock_monitor import ClockWatch
from .process_pairs import ProcessPair, ProcessPairs
from .samples import Samples, by_host, half_width, log_ratios
from .timed_calls import Timed, TimedCalls, WorkloadEndedError

PREHEAT_S = 0.2
STEADY_S = 0.04
STEADY_SHARE = 0.05
CHEAP_INPUTS_S = 0.15
POOL_SECONDS = 3.0
LEAST_POOL = 4
SECOND_CLOCK_CALLS = 3


@dataclass(frozen=True)
class _CallPair:
    """One call of each, their times still unread."""

    outcome: CallOutcome
    at_s: float
    base: CallOutcome | None
    base_at: float


class PairedTiming:
    """Times the candidate of one plan.

    Args:
        plan, room, operator, drawer, reporter, cancellation, rng: as for the trial.
        deadline: on the monotonic clock; workloads left then are not timed.
    """

    def __init__(
        self,
        plan: EvaluatePlan,
        context: JudgeContext,
        operator: OperatorAdapter,
        generator: InputGenerator,
        reporter: Reporter,
        cancellation: Cancellation,
        rng: random.Random,
        deadline: float,
    ) -> None:
        self._plan = plan
        self._checks = plan.checks
        self._context = context
        self._operator = operator
        self._generator = generator
        self._reporter = reporter
        self._cancellation = cancellation
        self._rng = rng
        self._deadline = deadline
        self._floors = CaseFloors(plan, operator, context)
        self._calls = TimedCalls(plan, operator, cancellation, rng)
        self.clocks: list[ClockSample] = []
        self.done: list[str] = []
        self.fresh_values = ""

    @property
    def timer(self) -> str | None:
        """The clock that ranks, once a call was timed."""
        return self._calls.timer

    @property
    def timer_note(self) -> str | None:
        """What a reader should know of that clock."""
        return self._calls.timer_note

    @property
    def findings(self) -> list[Finding]:
        """What was seen of the candidate and its baseline."""
        return self._calls.findings

    @property
    def seconds(self) -> dict[str, float]:
        """Where the wall time went, by part."""
        return self._calls.seconds

    def run(
        self, cases: Sequence[Case], checked: JudgedCall, pairs: ProcessPairs
    ) -> dict[str, Timed]:
        """Times every case that passed; a failure ends the run.

        Args:
            checked: the process that the correctness checks used; candidate of the first block.
            blocks: the further processes, started.
        """
        results: dict[str, Timed] = {}
        self._reporter.step(Stage.TIMING, "joining the processes for timing")
        with self._calls.measured("timing_join"):
            ready = pairs.ready(checked, self._calls.note)
            self._cancellation.check()
        with ClockWatch(self._context.device) as watch:
            self._preheat()
            for position, case in enumerate(cases):
                self._reporter.step(Stage.TIMING, f"timing workload {position + 1} of {len(cases)}")
                results[case.uuid] = self._time(case, ready, pairs, watch)
                if results[case.uuid].failure is not None:
                    break
            self.clocks = watch.samples
        self.done += [
            "timed_calls_verified", "fresh_inputs_per_pair", integrity.WALL_CLOCK,
            integrity.HOST_WORK, integrity.TWO_CLOCKS, integrity.PHYSICS, integrity.LIBRARIES,
        ]  # fmt: skip
        return results

    def _preheat(self) -> None:
        """Brings the clocks up: an idle GPU runs at a fifth of its speed.

        It ends when batches of one product have taken the same time for a while.
        """
        matrix = torch.randn(4096, 4096, device=self._context.device, dtype=torch.float16)
        began = time.monotonic()
        ends = [began]
        while ends[-1] - began < PREHEAT_S and not _steady(ends):
            for _ in range(20):
                torch.mm(matrix, matrix)
            torch.cuda.synchronize(self._context.device)
            ends.append(time.monotonic())

    # --- one workload -------------------------------------------------------------------------

    def _time(
        self, case: Case, pairs: Sequence[ProcessPair], processes: ProcessPairs, watch: ClockWatch
    ) -> Timed:
        if time.monotonic() > self._deadline:
            return Timed(reason="the budget of time was used up before it was timed")
        timed = Timed()
        try:
            sets = self._input_sets(case)
            with self._calls.measured("timing_warm_up"):
                for pair in pairs:
                    processes.share_compiled(pair)
                    self._warm_up(pair, sets(), timed)
            with self._calls.measured("timing_pairs"):
                ours, theirs = self._call_pairs(case, pairs, sets, timed, watch)
            with self._calls.measured("timing_other"):
                self._warm_calls(pairs[0], sets(), ours, theirs, timed)
                self._second_clock(pairs[0], sets(), ours, timed)
        except WorkloadEndedError as ended:
            return ended.timed
        assert self.timer is not None
        timed.measurement = ours.measurement(self.timer, watch.throttled)
        if len(theirs.cold_ns) == len(ours.cold_ns):
            timed.baseline = theirs.measurement(self.timer, watch.throttled)
        self._bound(case, timed)
        return timed

    def _input_sets(self, case: Case) -> Callable[[], InputSet]:
        """A source of draws: a new one for each pair, or a pool where draws are dear."""
        began = time.monotonic()
        first = self._generator.generate(case)
        seconds = time.monotonic() - began
        if seconds <= CHEAP_INPUTS_S:
            self.fresh_values = self.fresh_values or "every pair's inputs are drawn anew"
            pending = [first]
            return lambda: pending.pop() if pending else self._drawn(case)
        size = max(LEAST_POOL, int(POOL_SECONDS / seconds))
        pool = [first, *(self._generator.rewritten(first) for _ in range(size - 1))]
        self.fresh_values = (
            f"a pool of {size} sets of inputs per workload where drawing takes longer than "
            f"{CHEAP_INPUTS_S} s, never the same set twice in a row; drawn anew elsewhere"
        )
        last = [-1]

        def pick() -> InputSet:
            choices = [i for i in range(len(pool)) if i != last[0]]
            last[0] = self._rng.choice(choices)
            return pool[last[0]]

        return pick

    def _drawn(self, case: Case) -> InputSet:
        with self._calls.measured("draws"):
            return self._generator.generate(case)

    def _warm_up(self, pair: ProcessPair, input_set: InputSet, timed: Timed) -> None:
        """One untimed call each, for compilation and autotuning at this shape."""
        options = CallOptions(late=False, timeout_s=self._plan.call_timeout_s)
        self._calls.candidate(pair.candidate, input_set, options, timed)
        if pair.baseline is not None:
            self._calls.baseline(pair, input_set, options)

    def _call_pairs(
        self,
        case: Case,
        pairs: Sequence[ProcessPair],
        sets: Callable[[], InputSet],
        timed: Timed,
        watch: ClockWatch,
    ) -> tuple[Samples, Samples]:
        """Pairs in turns of the blocks until the interval is narrow: ours and the baseline's."""
        ours, theirs = Samples(), Samples()
        count = self._checks.pairs_per_block
        while len(ours.cold_ns) < self._checks.max_pairs:
            for number, pair in enumerate(pairs):
                left = self._checks.max_pairs - len(ours.cold_ns)
                made = [
                    self._call_pair(pair, sets(), turn % 2 == 0, timed, watch)
                    for turn in range(min(count, left))
                ]
                self._read(case, pair, number, made, (ours, theirs), timed)
            narrow = half_width(log_ratios(ours, theirs)) <= self._checks.half_width
            if narrow or time.monotonic() > self._deadline:
                break
            count = max(2, self._checks.pairs_per_block // 2)
        return ours, theirs

    def _call_pair(
        self,
        pair: ProcessPair,
        input_set: InputSet,
        baseline_first: bool,
        timed: Timed,
        watch: ClockWatch,
    ) -> _CallPair:
        base: CallOutcome | None = None
        base_at = 0.0
        calls = self._calls
        if pair.baseline is not None and baseline_first:
            base, base_at = calls.baseline(pair, input_set, calls.cold()), watch.now()
        outcome = calls.candidate(pair.candidate, input_set, calls.cold(), timed)
        at_s = watch.now()
        if pair.baseline is not None and not baseline_first:
            base, base_at = calls.baseline(pair, input_set, calls.cold()), watch.now()
        return _CallPair(outcome.claims, at_s, base and base.claims, base_at)

    def _read(
        self,
        case: Case,
        pair: ProcessPair,
        number: int,
        made: Sequence[_CallPair],
        samples: tuple[Samples, Samples],
        timed: Timed,
    ) -> None:
        """Adds a turn's pairs to the samples, with what the processes' clocks saw of them."""
        ours, theirs = samples
        own = self._calls.with_times(pair.candidate, [p.outcome for p in made], case, timed)
        bases = self._calls.with_baseline_times(pair, [p.base for p in made])
        for calls, outcome, base in zip(made, own, bases, strict=True):
            ours.add(outcome, number, calls.at_s)
            if base is not None:
                theirs.add(base, number, calls.base_at)

    def _warm_calls(
        self, pair: ProcessPair, input_set: InputSet, ours: Samples, theirs: Samples, timed: Timed
    ) -> None:
        """The same inputs again and again at one place, as a loop of a program would find them."""
        mine: CallOutcome | None = None
        base: CallOutcome | None = None
        for _ in range(self._checks.warm_calls):
            options = CallOptions(time="warm", late=False)
            mine = self._calls.candidate(pair.candidate, input_set, options, timed, mine)
            if mine.called.span_ns is not None:
                ours.warm_ns.append(mine.called.span_ns)
            if pair.baseline is not None:
                base = self._calls.baseline(pair, input_set, options, base)
                if base is not None and base.called.span_ns is not None:
                    theirs.warm_ns.append(base.called.span_ns)

    def _second_clock(
        self, pair: ProcessPair, input_set: InputSet, ours: Samples, timed: Timed
    ) -> None:
        """A few calls by CUDA events, which may not see far more than the first clock did."""
        spans: list[int] = []
        for _ in range(SECOND_CLOCK_CALLS):
            options = CallOptions(time="events", late=False)
            outcome = self._calls.candidate(pair.candidate, input_set, options, timed)
            if outcome.called.span_ns is not None:
                spans.append(outcome.called.span_ns)
        if spans:
            launches = float(np.median([len(a) for a in ours.activities]))
            self._calls.add(
                integrity.two_clocks_agree(
                    float(np.median(ours.cold_ns)), float(np.median(spans)), launches
                )
            )

    # --- bounds -------------------------------------------------------------------------------

    def _bound(self, case: Case, timed: Timed) -> None:
        """Holds the measurement against physics, host time and the library policy."""
        measurement = timed.measurement
        assert measurement is not None
        found = integrity.after_timing(
            measurement,
            floor_us=self._floors.of(case).get(DEVICE),
            upper_bound=self._floors.cost(case).may_exceed,
            device=self._context.info.name,
            libraries=self._operator.policy.libraries.allowed,
            language=str(self._plan.solution["spec"]["language"]),
        )
        self._calls.add(found)
        if any(finding.claim == integrity.HOST_WORK for finding in found):
            timed.measurement, timed.baseline = by_host(measurement), by_host(timed.baseline)
        if (violation := integrity.worst(found)) is not None:
            timed.status = Status.INTEGRITY_VIOLATION
            timed.failure = integrity.violation_failure(violation, case)
            timed.measurement = timed.baseline = None


def _steady(ends: Sequence[float]) -> bool:
    """Whether the batches that ended at these moments have lately taken the same time."""
    lately = [b - a for a, b in pairwise(ends) if a >= ends[-1] - STEADY_S]
    if len(lately) < 3 or ends[-1] - ends[0] < STEADY_S:
        return False
    return max(lately) <= (1 + STEADY_SHARE) * min(lately)
