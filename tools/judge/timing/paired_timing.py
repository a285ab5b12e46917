"""Times candidate and baseline in paired, verified calls with a cold L2 cache; raw samples only.

A pair is one call of each on the same inputs, in the order A B B A …, so that linear drift of
clocks and temperature cancels (a crossover design). Calls are spread over several fresh pairs of
processes, since memory placement differs between processes. Inputs change with every pair and every
timed call of the candidate is verified, so that no call can be answered from an earlier one.

The span of a call is the first start to the last end of its device activities, which CUPTI records.
A time is sealed where the call can be replayed (`sealed_timing`). Elsewhere the candidate's own
process tells it, as is done here: a claim, bounded by the judge's wall clock, by CUDA events, by
the host's time and by the least time that the device can take for the work. Sampling stops when the
interval of the median is narrow enough (`samples.half_width`). docs/explanation/statistics.md says
how differences become decisions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...schema.evaluation import Finding, Stage
from ...schema.measurement import ClockSample, Objective, TimeSource
from ..calls.judged_call import CallOptions, CallOutcome, JudgedCall
from ..checks import integrity
from ..machine.clock_monitor import ClockWatch
from ..machine.machine_load import MachineLoad
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import Case
from ..replay.decision import NotSealedError
from ..replay.launched_work import OtherKernelsError
from ..trial_parts import TrialParts
from .case_floors import DEVICE, CaseFloors
from .process_pairs import ProcessPair, ProcessPairs
from .programs.kept_baseline import RECORDED_BEFORE, KeptBaseline
from .programs.trial_runners import TrialRunners
from .recorders import Recorders
from .samples import CLAIM, Samples, by_host, half_width, log_ratios
from .sealed_timing import SealedTiming
from .timed_calls import Timed, TimedCalls, WorkloadEndedError

CHEAP_INPUTS_S = 0.15
POOL_SECONDS = 3.0
LEAST_POOL = 4
POOL_BYTES = 6 << 30
"""Of a larger pool's input sets, with what is expected of them."""
ANEW = "every pair's inputs are drawn anew; of replays, for each runner"
SECOND_CLOCK_CALLS = 3
DISTURBED = "disturbed_machine"
"""Claim of the note on work of others."""


@dataclass(frozen=True)
class _CallPair:
    """One call of each; times not yet read."""

    outcome: CallOutcome
    at_s: float
    base: CallOutcome | None
    base_at: float


class PairedTiming:
    """Times the candidate of one plan.

    Args:
        parts: of the trial; workloads left at its deadline are not timed.
        recorders: started, for times that are sealed; None where none can be.
        claim: why times are only claimed where `recorders` is None.
        kept: the trial's, what is kept of its baseline.
    """

    def __init__(
        self,
        parts: TrialParts,
        recorders: Recorders | None = None,
        claim: str = CLAIM,
        kept: KeptBaseline | None = None,
    ) -> None:
        self._plan, self._checks = parts.plan, parts.plan.checks
        self._context, self._operator = parts.context, parts.operator
        self._generator, self._reporter = parts.generator, parts.reporter
        self._cancellation, self._rng = parts.cancellation, parts.rng
        self._deadline = parts.deadline
        self._floors = CaseFloors(parts.plan, parts.operator, parts.context)
        self._calls = TimedCalls(parts)
        self._claim, self._objective = claim, Objective(self._checks.objective)
        self._sealed = recorders and SealedTiming(
            parts, TrialRunners(parts, recorders, kept, self._calls.times), self._calls
        )
        self._load = MachineLoad(parts.context.device)
        self._joined: list[ProcessPair] = []
        self.results: dict[str, Timed] = {}
        self.clocks: list[ClockSample] = []
        self.done: list[str] = []
        self.fresh_values = ""

    @property
    def timer(self) -> str | None:
        """The clock that ranks, once a call was timed."""
        return self._calls.timer

    @property
    def timer_note(self) -> str | None:
        """A remark on that clock for readers."""
        return self._calls.timer_note

    @property
    def findings(self) -> list[Finding]:
        """Findings about candidate and baseline."""
        return self._calls.findings

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time by part."""
        return self._calls.times.seconds

    def run(
        self, cases: Sequence[Case], checked: JudgedCall, pairs: ProcessPairs
    ) -> dict[str, Timed]:
        """Times the cases in order; a failure ends the run.

        Args:
            checked: the process of the correctness checks, candidate of the first pair.
            pairs: the other processes; started here where they are needed and were not.
        """
        self._checked, self._processes, self._cases = checked, pairs, cases
        if self._sealed is not None:
            self._sealed.prepare(cases, checked)
        with ClockWatch(self._context.device) as watch:
            with self._calls.times.measured("timing_preheat"):
                self._preheat()
            for position, case in enumerate(cases):
                self._reporter.step(Stage.TIMING, f"timing workload {position + 1} of {len(cases)}")
                self.results[case.uuid] = self._time(case, watch)
                if self.results[case.uuid].failure is not None:
                    break
            self.clocks = watch.samples
            self._load.look()
        if self._sealed is not None and self._sealed.recorded_before:
            self.fresh_values = f"{self.fresh_values}; {RECORDED_BEFORE}"
        if words := self._load.disturbance:
            self._calls.note(DISTURBED, f"While it was timed {words}.")
        self.done += [
            "timed_calls_verified",
            "fresh_inputs_per_pair",
            integrity.WALL_CLOCK,
            integrity.HOST_WORK,
            integrity.TWO_CLOCKS,
            integrity.PHYSICS,
            integrity.LIBRARIES,
        ]
        return self.results

    def _preheat(self) -> None:
        """Brings the clocks up, and waits for a device that others use.

        In a race, whose runs follow one another, they are up already, and would be lower after it.
        """
        context = self._context
        if self._plan.race and context.own_clock.is_usual():
            return
        self._load = MachineLoad(context.device, context.quiet_batch_s)
        self._load.preheat()
        context.quiet_batch_s = self._load.least_s

    def close(self) -> None:
        """Ends the runners that were started here."""
        if self._sealed is not None:
            self._sealed.close()

    # --- one workload -------------------------------------------------------------------------

    def _time(self, case: Case, watch: ClockWatch) -> Timed:
        if time.monotonic() > self._deadline:
            return Timed(reason="the budget of time was used up before it was timed")
        sets = self._input_sets(case)
        claim = self._claim
        if self._sealed is not None:
            try:
                timed = self._sealed.time(case, sets, watch)
            except NotSealedError as reason:
                claim = str(reason)
            except OtherKernelsError as words:
                return self._calls.refused(integrity.recorded_call_is_ordinary(str(words)), case)
            else:
                self._calls.timer = "cupti"
                self._bound(case, timed)
                return timed
        return self._time_claimed(case, sets, watch, claim)

    def _time_claimed(
        self, case: Case, sets: Callable[[], InputSet], watch: ClockWatch, claim: str
    ) -> Timed:
        """Times calls in the processes of candidate and baseline, which tell the times."""
        if self._objective in (Objective.CLEAN, Objective.SUSTAINED):
            words = f"{self._objective} times are taken of sealed calls alone, and this one is not"
            return Timed(reason=f"{words}: {claim}")
        pairs, timed, measured = self._pairs(), Timed(), self._calls.times.measured
        try:
            with self._context.contexts_held():
                with measured("timing_clock"):
                    self._context.own_clock.wait()
                with measured("timing_warm_up"):
                    for pair in pairs:
                        self._processes.share_compiled(pair)
                        self._warm_up(pair, sets(), timed)
                with measured("timing_pairs"):
                    ours, theirs = self._call_pairs(case, pairs, sets, timed, watch)
                with measured("timing_other"):
                    self._warm_calls(pairs[0], sets(), ours, theirs, timed)
                    self._second_clock(pairs[0], sets(), ours, timed)
        except WorkloadEndedError as ended:
            return ended.timed
        assert self.timer is not None
        ranked = self._objective
        timed.measurement = ours.measurement(self.timer, watch.throttled, claim, ranked)
        if len(theirs.spans_ns) == len(ours.spans_ns):
            timed.baseline = theirs.measurement(self.timer, watch.throttled, claim, ranked)
        self._bound(case, timed)
        return timed

    def _pairs(self) -> list[ProcessPair]:
        """The process pairs of claimed times, joined when first needed."""
        if not self._joined:
            self._reporter.step(Stage.TIMING, "joining the processes for timing")
            with self._calls.times.measured("timing_join"):
                self._processes.start(self._cases)
                self._joined = self._processes.ready(self._checked, self._calls.note)
                self._cancellation.check()
        return self._joined

    def _input_sets(self, case: Case) -> Callable[[], InputSet]:
        """A source of inputs: new ones for each pair, or a pool where making them is slow."""
        first = self._generator.generate(case)
        seconds = first.drawn_s  # it may have been drawn ahead
        if seconds <= CHEAP_INPUTS_S:
            self.fresh_values = (
                self.fresh_values
                or "every pair's inputs are drawn anew, and of replays those of every turn"
            )
            pending = [first]
            return lambda: pending.pop() if pending else self._new_inputs(case)
        fitting = POOL_BYTES // max(1, first.nbytes)
        size = max(LEAST_POOL, min(int(POOL_SECONDS / seconds), fitting))
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

    def _new_inputs(self, case: Case) -> InputSet:
        with self._calls.times.measured("draws"):
            return self._generator.generate(case)

    def _warm_up(self, pair: ProcessPair, input_set: InputSet, timed: Timed) -> None:
        """Makes one untimed call of each, for compilation and autotuning at this shape."""
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
        """Pairs of calls, the process pairs in turn, until the interval is narrow."""
        ours, theirs = Samples(), Samples()
        count = self._checks.pairs_per_block
        while len(ours.spans_ns) < self._checks.max_pairs:
            for number, pair in enumerate(pairs):
                left = self._checks.max_pairs - len(ours.spans_ns)
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
        """Reads the times of a turn's calls and adds them to the samples."""
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
        """Times repeated calls on the same inputs at the same addresses, with a warm cache."""
        mine: CallOutcome | None = None
        base: CallOutcome | None = None
        ranks = self._objective is Objective.WARM
        for _ in range(self._checks.max_pairs if ranks else self._checks.warm_calls):
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
        """Times a few calls by CUDA events, which may not measure far more than CUPTI did."""
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
                    float(np.median(ours.spans_ns)), float(np.median(spans)), launches
                )
            )

    # --- bounds -------------------------------------------------------------------------------

    def _bound(self, case: Case, timed: Timed) -> None:
        """Checks the measurement against the floor, the host time and the library policy."""
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
        claimed = measurement.clock is TimeSource.CLAIMED
        if claimed and any(finding.claim == integrity.HOST_WORK for finding in found):
            timed.measurement, timed.baseline = by_host(measurement), by_host(timed.baseline)
            if words := self._load.disturbance:
                timed.measurement = timed.baseline = None
                timed.reason = f"host time would rank it, and {words}; evaluate again when it rests"
        if (violation := integrity.worst(found)) is not None:
            timed.status, timed.failure = integrity.violation(violation, case)
            timed.measurement = timed.baseline = None
