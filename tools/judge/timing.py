"""Paired, verified, cold calls of candidate and baseline; raw samples only.

A pair is one call of each on the same inputs, in the order A B B A …, so that drift cancels; a
block is a fresh pair of processes, so that placement does. Inputs change between pairs and every
timed output is verified, so that a call cannot be answered from an earlier one. Spans come from a
clock inside the candidate's process and are claims: the judge bounds them by its own wall clock, by
a second clock, by the host's time and by what the device can physically do.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..schema.evaluation import (
    ClockSample,
    Failure,
    Finding,
    Measurement,
    Severity,
    Stage,
    Status,
)
from ..wire import EvaluatePlan
from . import integrity
from .blocks import Block, Blocks
from .clocks import ClockWatch
from .exchange import CallOptions, Exchange, Outcome
from .failures import Lost
from .floors import DEVICE, Floors
from .inputs import Draw, Drawer
from .judged_operator import Case, JudgedOperator
from .reporting import Cancellation, Reporter
from .room import Room
from .samples import Samples, by_host, half_width, log_ratios
from .verdict import judge

PREHEAT_S = 0.2
CHEAP_DRAW_S = 0.15
POOL_SECONDS = 3.0
LEAST_POOL = 4
LATE_SHARE = 0.1
BASELINE_SHARE = 0.2
"""Share of the baseline's timed calls that are verified; the candidate's all are."""
SECOND_CLOCK_CALLS = 3


@dataclass
class Timed:
    """What timing one workload gave."""

    status: Status | None = None
    failure: Failure | None = None
    reason: str | None = None
    calls: int = 0
    measurement: Measurement | None = None
    baseline: Measurement | None = None


class _WorkloadEnded(Exception):
    """Leaves the timing of one workload with what was found."""

    def __init__(self, timed: Timed) -> None:
        super().__init__()
        self.timed = timed


class Timing:
    """Times the candidate of one plan.

    Args:
        plan, room, operator, drawer, reporter, cancellation, rng: as for the trial.
        deadline: on the monotonic clock; workloads left then are not timed.
    """

    def __init__(
        self,
        plan: EvaluatePlan,
        room: Room,
        operator: JudgedOperator,
        drawer: Drawer,
        reporter: Reporter,
        cancellation: Cancellation,
        rng: random.Random,
        deadline: float,
    ) -> None:
        self._plan = plan
        self._checks = plan.checks
        self._room = room
        self._operator = operator
        self._drawer = drawer
        self._reporter = reporter
        self._cancellation = cancellation
        self._rng = rng
        self._deadline = deadline
        self._floors = Floors(plan, operator, room)
        self.timer: str | None = None
        self.timer_note: str | None = None
        self.clocks: list[ClockSample] = []
        self.findings: list[Finding] = []
        self.seconds: dict[str, float] = {}
        self.done: list[str] = []
        self.fresh_values = ""

    def run(self, cases: Sequence[Case], checked: Exchange, blocks: Blocks) -> dict[str, Timed]:
        """Times every case that passed; a failure ends the run.

        Args:
            checked: the process that the correctness checks used; candidate of the first block.
            blocks: the further processes, started.
        """
        results: dict[str, Timed] = {}
        self._reporter.step(Stage.TIMING, "joining the processes for timing")
        with self._measured("timing_join"):
            ready = blocks.ready(checked, self._note)
            self._cancellation.check()
        with ClockWatch(self._room.device) as watch:
            self._preheat()
            for position, case in enumerate(cases):
                self._reporter.step(Stage.TIMING, f"timing workload {position + 1} of {len(cases)}")
                results[case.uuid] = self._time(case, ready, blocks, watch)
                if results[case.uuid].failure is not None:
                    break
            self.clocks = watch.samples
        self.done += [
            "timed_calls_verified", "fresh_inputs_per_pair", integrity.WALL_CLOCK,
            integrity.HOST_WORK, integrity.TWO_CLOCKS, integrity.PHYSICS, integrity.LIBRARIES,
        ]  # fmt: skip
        return results

    @contextlib.contextmanager
    def _measured(self, part: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self.seconds[part] = round(self.seconds.get(part, 0.0) + spent, 4)

    def _preheat(self) -> None:
        """Brings the clocks up: an idle GPU runs at a fifth of its speed."""
        until = time.monotonic() + PREHEAT_S
        block = torch.randn(4096, 4096, device=self._room.device, dtype=torch.float16)
        while time.monotonic() < until:
            for _ in range(20):
                torch.mm(block, block)
            torch.cuda.synchronize(self._room.device)

    # --- one workload -------------------------------------------------------------------------

    def _time(
        self, case: Case, blocks: Sequence[Block], processes: Blocks, watch: ClockWatch
    ) -> Timed:
        if time.monotonic() > self._deadline:
            return Timed(reason="the budget of time was used up before it was timed")
        ours, theirs, timed = Samples(), Samples(), Timed()
        try:
            sets = self._input_sets(case)
            with self._measured("timing_warm_up"):
                for block in blocks:
                    processes.share_compiled(block)
                    self._warm_up(block, sets(), timed)
            with self._measured("timing_pairs"):
                self._pairs(blocks, sets, ours, theirs, timed, watch)
            with self._measured("timing_other"):
                self._warm_calls(blocks[0], sets(), ours, theirs, timed)
                self._second_clock(blocks[0], sets(), ours, timed)
        except _WorkloadEnded as ended:
            return ended.timed
        assert self.timer is not None
        timed.measurement = ours.measurement(self.timer, watch.throttled)
        if len(theirs.cold_ns) == len(ours.cold_ns):
            timed.baseline = theirs.measurement(self.timer, watch.throttled)
        self._bound(case, timed)
        return timed

    def _input_sets(self, case: Case) -> Callable[[], Draw]:
        """A source of draws: a new one for each pair, or a pool where draws are dear."""
        began = time.monotonic()
        first = self._drawer.draw(case)
        seconds = time.monotonic() - began
        if seconds <= CHEAP_DRAW_S:
            self.fresh_values = self.fresh_values or "every pair's inputs are drawn anew"
            pending = [first]
            return lambda: pending.pop() if pending else self._drawn(case)
        size = max(LEAST_POOL, int(POOL_SECONDS / seconds))
        pool = [first, *(self._drawer.rewritten(first) for _ in range(size - 1))]
        self.fresh_values = (
            f"a pool of {size} sets of inputs per workload where drawing takes longer than "
            f"{CHEAP_DRAW_S} s, never the same set twice in a row; drawn anew elsewhere"
        )
        last = [-1]

        def pick() -> Draw:
            choices = [i for i in range(len(pool)) if i != last[0]]
            last[0] = self._rng.choice(choices)
            return pool[last[0]]

        return pick

    def _drawn(self, case: Case) -> Draw:
        with self._measured("draws"):
            return self._drawer.draw(case)

    def _warm_up(self, block: Block, draw: Draw, timed: Timed) -> None:
        """One untimed call each, for compilation and autotuning at this shape."""
        self._call(block.candidate, draw, CallOptions(), timed)
        if block.baseline is not None:
            self._call_baseline(block, draw, CallOptions())

    def _pairs(
        self,
        blocks: Sequence[Block],
        sets: Callable[[], Draw],
        ours: Samples,
        theirs: Samples,
        timed: Timed,
        watch: ClockWatch,
    ) -> None:
        count = self._checks.pairs_per_block
        while len(ours.cold_ns) < self._checks.max_pairs:
            for number, block in enumerate(blocks):
                for turn in range(min(count, self._checks.max_pairs - len(ours.cold_ns))):
                    self._pair(block, number, sets(), turn % 2 == 0, ours, theirs, timed, watch)
            narrow = half_width(log_ratios(ours, theirs)) <= self._checks.half_width
            if narrow or time.monotonic() > self._deadline:
                break
            count = max(2, self._checks.pairs_per_block // 2)

    def _pair(
        self,
        block: Block,
        number: int,
        draw: Draw,
        baseline_first: bool,
        ours: Samples,
        theirs: Samples,
        timed: Timed,
        watch: ClockWatch,
    ) -> None:
        base: Outcome | None = None
        base_at = 0.0
        if block.baseline is not None and baseline_first:
            base, base_at = self._call_baseline(block, draw, self._cold()), watch.now()
        outcome, at_s = self._call(block.candidate, draw, self._cold(), timed), watch.now()
        if block.baseline is not None and not baseline_first:
            base, base_at = self._call_baseline(block, draw, self._cold()), watch.now()
        self._require_timer(outcome)
        ours.add(outcome, number, at_s)
        if base is not None and base.called.span_ns is not None:
            theirs.add(base, number, base_at)

    def _warm_calls(
        self, block: Block, draw: Draw, ours: Samples, theirs: Samples, timed: Timed
    ) -> None:
        """The same inputs again and again at one place, as a loop of a program would find them."""
        mine: Outcome | None = None
        base: Outcome | None = None
        for _ in range(self._checks.warm_calls):
            options = CallOptions(time="warm", late=False)
            mine = self._call(block.candidate, draw, options, timed, mine)
            if mine.called.span_ns is not None:
                ours.warm_ns.append(mine.called.span_ns)
            if block.baseline is not None:
                base = self._call_baseline(block, draw, options, base)
                if base is not None and base.called.span_ns is not None:
                    theirs.warm_ns.append(base.called.span_ns)

    def _second_clock(self, block: Block, draw: Draw, ours: Samples, timed: Timed) -> None:
        """A few calls by CUDA events, which may not see far more than the first clock did."""
        spans: list[int] = []
        for _ in range(SECOND_CLOCK_CALLS):
            outcome = self._call(block.candidate, draw, CallOptions(time="events"), timed)
            if outcome.called.span_ns is not None:
                spans.append(outcome.called.span_ns)
        if spans:
            launches = float(np.median([len(a) for a in ours.activities]))
            self._add(
                integrity.two_clocks_agree(
                    float(np.median(ours.cold_ns)), float(np.median(spans)), launches
                )
            )

    # --- calls --------------------------------------------------------------------------------

    def _cold(self) -> CallOptions:
        return CallOptions(
            time="cold",
            poison=self._rng.randint(0, 1),
            late=self._rng.random() < LATE_SHARE,
            timeout_s=self._plan.call_timeout_s,
        )

    def _call(
        self,
        exchange: Exchange,
        draw: Draw,
        options: CallOptions,
        timed: Timed,
        at: Outcome | None = None,
    ) -> Outcome:
        """One verified call of the candidate; leaves the workload when it is not right."""
        self._cancellation.check()
        with self._measured("candidate_calls"):
            outcome = exchange.call(draw, options, at.layout if at else None)
        self._cancellation.check()
        timed.calls += 1
        log = exchange.session.log() if isinstance(outcome, Lost) else ""
        with self._measured("verdicts"):
            verdict = judge(self._operator, draw, outcome, log)
        self._add(verdict.findings)
        if isinstance(outcome, Lost) or not verdict.passed:
            assert verdict.failure is not None
            failure = verdict.failure.model_copy(
                update={"message": f"In timed call {timed.calls}: {verdict.failure.message}"}
            )
            raise _WorkloadEnded(Timed(verdict.status, failure, calls=timed.calls))
        violation = integrity.worst(integrity.clock_agrees(outcome))
        if violation is not None:
            self._add([violation])
            failure = integrity.violation_failure(violation, draw.case)
            raise _WorkloadEnded(Timed(Status.INTEGRITY_VIOLATION, failure, calls=timed.calls))
        return outcome

    def _call_baseline(
        self, block: Block, draw: Draw, options: CallOptions, at: Outcome | None = None
    ) -> Outcome | None:
        """One call of the baseline; whatever goes wrong with it is not the candidate's fault."""
        assert block.baseline is not None
        if options.time == "cold" and self._rng.random() >= BASELINE_SHARE:
            options = replace(options, examine=False, late=False)
        outcome = block.baseline.call(draw, options, at.layout if at else None)
        self._cancellation.check()
        if isinstance(outcome, Lost):
            self._note("baseline", f"The baseline's process was lost: {outcome.detail}")
            block.baseline.close()
            block.baseline = None
            return None
        if not options.examine and outcome.called.fault is None:
            return outcome
        verdict = judge(self._operator, draw, outcome)
        if verdict.failure is not None:
            self._note("baseline", f"The baseline is wrong here: {verdict.failure.message[:400]}")
            if outcome.called.fault is not None:
                return None
        return outcome

    def _require_timer(self, outcome: Outcome) -> None:
        called = outcome.called
        if called.span_ns is None or called.timer is None:
            reason = f"no timer: {called.timer_note or 'the clock saw nothing of the call'}"
            raise _WorkloadEnded(Timed(reason=reason))
        self.timer, self.timer_note = called.timer, called.timer_note

    # --- bounds -------------------------------------------------------------------------------

    def _bound(self, case: Case, timed: Timed) -> None:
        """Holds the measurement against physics, host time and the library policy."""
        measurement = timed.measurement
        assert measurement is not None
        found = integrity.after_timing(
            measurement,
            floor_us=self._floors.of(case).get(DEVICE),
            upper_bound=self._floors.cost(case).may_exceed,
            device=self._room.info.name,
            libraries=self._operator.policy.libraries.allowed,
            language=str(self._plan.solution["spec"]["language"]),
        )
        self._add(found)
        if any(finding.claim == integrity.HOST_WORK for finding in found):
            timed.measurement, timed.baseline = by_host(measurement), by_host(timed.baseline)
        if (violation := integrity.worst(found)) is not None:
            timed.status = Status.INTEGRITY_VIOLATION
            timed.failure = integrity.violation_failure(violation, case)
            timed.measurement = timed.baseline = None

    def _note(self, claim: str, message: str) -> None:
        self._add([Finding(claim=claim, severity=Severity.NOTE, message=message)])

    def _add(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            known = [f for f in self.findings if f.claim == finding.claim]
            if len(known) < 3 and all(f.message != finding.message for f in known):
                self.findings.append(finding)
