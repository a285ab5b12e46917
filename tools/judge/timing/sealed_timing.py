"""Times candidate and baseline by replays of their recorded calls, out of the candidate's reach.

One call of the workload is recorded in a process of each program; a runner of each, in which no
host code of a candidate runs, replays the launches on inputs that the recording process never saw.
Every replay's outputs are compared with the reference. As in `paired_timing`, candidate and
baseline take turns (A B B A …) on the same inputs, in several fresh pairs of runners.

Where a time cannot be sealed the answer is a reason, and `paired_timing` times the ordinary way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from ...messages.candidate import Called
from ...schema.measurement import Objective
from ..calls.judged_call import CallOutcome, JudgedCall, slots_of
from ..checks.call_verdict import prepare_verdict
from ..machine.clock_monitor import ClockWatch
from ..operators.input_sets import InputSet, pick_families
from ..operators.operator_adapter import Case
from ..processes.runner_process import RunnerLostError
from ..replay.decision import DIFFERS, NotSealedError
from ..replay.launched_work import OtherKernelsError, activities_of
from ..replay.output_checks import ReplayDiffersError, poison_bytes
from ..replay.program_runner import ReplayedCall
from ..replay.recorded_call import NotRecordedError
from ..replay.wall_clock import unlike
from ..replay.witness import SecondLook
from ..trial_parts import Meanwhile, TrialParts
from .programs.trial_runners import TrialRunners
from .programs.turns import Turn, paired_turns, replay_in_turn, replayed_sets
from .recorders import RecordedProgram, launched_kernels
from .replayed_program import ReplayedPair, ReplayedProgram
from .samples import Samples, half_width, log_ratios, more_pairs
from .sustained_timing import NotSustainedError, SustainedTiming
from .timed_calls import Timed, TimedCalls

REPLAYS_AGAIN = 3
"""Of the inputs that a second look is at."""
STAGING_BYTES = 2 << 30
STAGING_SLACK = 1.25
"""Returned outputs may be spread over more memory than their elements fill."""
DRAWN_BYTES = 6 << 30
"""Of input sets that are drawn at once, with what is expected of them."""
InputSets = Callable[[], InputSet]


class SealedTiming:
    """Times workloads by replay.

    Args:
        runners: of candidate and baseline.
        calls: gives the stage times and the count of verified calls.
    """

    def __init__(self, parts: TrialParts, runners: TrialRunners, calls: TimedCalls) -> None:
        self._plan, self._checks = parts.plan, parts.plan.checks
        self._context, self._operator = parts.context, parts.operator
        self._generator = parts.generator
        self._runners, self._cancellation = runners, parts.cancellation
        self._calls, self._rng, self._deadline = calls, parts.rng, parts.deadline
        self._objective = Objective(self._checks.objective)
        self._sustained = SustainedTiming(parts)
        self.recorded_before = False
        """Whether a plan of the baseline was kept from a trial before."""
        self._not_recorded: str | None = None
        self._seen: frozenset[str] = frozenset()
        self._cases: Sequence[Case] = ()

    def prepare(self, cases: Sequence[Case], checked: JudgedCall) -> None:
        """Notes how much memory calls need, and which kernels were launched in `checked`."""
        self._seen = launched_kernels(checked.session, self._plan.call_timeout_s)
        self._cases = cases
        needed = [self._call_bytes(case) * self._calls_for(case) for case in cases]
        self._runners.staging_bytes = max(needed, default=0)

    def time(self, case: Case, sets: InputSets, watch: ClockWatch) -> Timed:
        """The sealed times of a workload.

        Raises:
            NotSealedError: with the reason why they cannot be sealed.
            OtherKernelsError: when ordinary calls launch other kernels than the recorded one.
        """
        if self._not_recorded is not None:
            raise NotSealedError(self._not_recorded)
        measured = self._calls.times.measured
        try:
            with measured("timing_record"):
                recorded = self._runners.record(case, sets)
            self._require_same_kernels(recorded)
            with self._runners.replaying():
                with measured("timing_load"):
                    loaded = self._runners.load(recorded, self._draw_more(case))
                pair = ReplayedPair(case, *loaded, sets, watch)
                with ExitStack() as stopped:
                    with measured("timing_pause"):
                        stopped.enter_context(self._context.paused())
                    self._replayed(pair)
        except NotRecordedError as error:
            self._not_recorded = str(error) if error.final else None
            raise NotSealedError(str(error)) from error
        except RunnerLostError as error:
            self.close()
            # One that does not start does not start the next time either.
            self._not_recorded = error.what if error.stage == "start" else None
            raise NotSealedError(error.what) from error
        timed = Timed(calls=pair.ours.checked)
        timed.measurement = pair.ours.measurement(self._objective, watch)
        if pair.theirs is not None:
            timed.baseline = pair.theirs.measurement(self._objective, watch)
            self.recorded_before |= self._runners.recorded_before
            self._runners.keep(case, pair.theirs.recorded)
        return timed

    def close(self) -> None:
        """Ends the runners."""
        self._runners.close()

    def _require_same_kernels(self, recorded: Mapping[bool, RecordedProgram]) -> None:
        """Refuses a plan of other launches than those of ordinary calls."""
        for baseline, program in recorded.items():
            words = program.other_launches(frozenset() if baseline else self._seen)
            if words is not None:
                raise NotRecordedError(words) if baseline else OtherKernelsError(words)

    def _draw_more(self, case: Case) -> Meanwhile:
        """Draws inputs of the workload's replays, and of later ones', while something waits."""
        cases = self._cases[self._cases.index(case) :]
        count = replayed_sets(self._checks)
        prepare = partial(prepare_verdict, self._operator)
        return lambda waiting: self._generator.prepare_more(cases, count, waiting, prepare)

    def _call_bytes(self, case: Case) -> int:
        slots = slots_of(self._operator.definition, case)
        inputs = sum(slot.nbytes + 256 for slot in slots if slot.is_input)
        outputs = sum(slot.nbytes + 256 for slot in slots if slot.name.startswith("out:"))
        return inputs + int(STAGING_SLACK * outputs) + 4096

    def _calls_for(self, case: Case) -> int:
        """Calls that are staged at once."""
        checks, fitting = self._checks, STAGING_BYTES // self._call_bytes(case)
        of_a_block = max(checks.pairs_per_block, -(-checks.max_pairs // checks.blocks))
        return max(1, min(of_a_block, fitting))

    # --- replays ------------------------------------------------------------------------------

    def _replayed(self, pair: ReplayedPair) -> None:
        """Replays both programs by every clock.

        Raises:
            NotSealedError: when what was seen proves nothing.
        """
        measured = self._calls.times.measured
        with measured("timing_replay"):
            with measured("timing_clock"):
                first, least = pair.ours.runners[0], self._context.yardstick_ns
                self._context.yardstick_ns = first.wait_for_clock(least)
            self._other_families(pair)
            self._pairs(Objective.COLD, pair)
            if self._objective in (Objective.CLEAN, Objective.WARM):
                self._pairs(self._objective, pair)
            self._beside(pair)
        with measured("timing_witness"):
            differ = self._witness(pair)
        with measured("timing_sustained"):
            self._back_to_back(pair)
        for who, program in zip(("", "baseline: "), pair.programs, strict=False):
            if words := program.not_sealed(differ):
                raise NotSealedError(f"{who}{words}")

    def _pairs(self, kind: Objective, pair: ReplayedPair) -> None:
        """Takes times of a kind in turns until the interval of the ratio is narrow.

        Of cold times that do not rank as many are taken as the evidence of a seal needs.
        """
        ours, theirs = pair.ours, pair.theirs
        asked, staged = self._checks.pairs_per_block, self._calls_for(pair.case)
        turn = self._rng.randrange(2)  # nobody knows which program is the first
        most = self._checks.max_pairs
        if kind is not self._objective:
            most = min(most, asked * len(ours.runners))
        mine = ours.samples[kind]
        other = theirs.samples[kind] if theirs is not None else Samples()
        while len(mine.spans_ns) < most:
            while asked > 0 and len(mine.spans_ns) < most:
                # A runner sees each set once; those of other pairs are other processes.
                drawn = self._drawn(pair, asked)
                asked -= len(drawn)
                for begin in range(0, len(drawn), staged):
                    some = drawn[begin : begin + staged]
                    left = most - len(mine.spans_ns)
                    turns = paired_turns(kind, (ours, theirs), some, left, turn, self._rng)
                    self._take(kind, turns, pair.watch)
                    turn += len(ours.runners)
                drawn = some = turns = ()  # freed before others are drawn
            ratios = log_ratios(mine, other)
            narrow = half_width(ratios) <= self._checks.half_width
            if narrow or time.monotonic() > self._deadline:
                return
            more = min(more_pairs(ratios, self._checks.half_width), most - len(mine.spans_ns))
            asked = max(2, self._checks.pairs_per_block // 2, -(-more // len(ours.runners)))

    def _take(self, kind: Objective, turns: Sequence[Turn], watch: ClockWatch) -> None:
        """Takes times of a kind in each of the turns."""
        self._cancellation.check()
        if kind is Objective.SUSTAINED:
            for turn in turns:
                sets = turn.input_sets
                times = self._passes(turn.program, turn.block, sets, len(sets))
                turn.program.samples[kind].add_times(times, turn.block, watch.now())
            return
        with self._calls.times.measured("replays"):
            replay_in_turn(turns, watch.now, self._context.contexts_held)
        for turn in turns:
            program, calls = turn.program, turn.runner.look()
            outcomes = self._judged(program, turn.input_sets, calls)
            for input_set, call, outcome in zip(turn.input_sets, calls, outcomes, strict=True):
                if kind is Objective.COLD:
                    program.note(input_set, call.times, self._rng)
                program.samples[kind].add(outcome, turn.block, turn.at_s)

    def _drawn(self, pair: ReplayedPair, asked: int) -> Sequence[InputSet]:
        """As many input sets as are asked for, fewer where more would take too much memory."""
        for program in pair.programs:
            program.right.forget()
        drawn = [pair.draw()]
        most = max(1, DRAWN_BYTES // max(1, drawn[0].nbytes))
        return drawn + [pair.draw() for _ in range(min(asked, most) - 1)]

    def _judged(
        self,
        program: ReplayedProgram,
        input_sets: Sequence[InputSet],
        calls: Sequence[ReplayedCall],
    ) -> list[CallOutcome]:
        """The replays as calls whose outputs are right.

        Raises:
            NotSealedError: when one's are not, or nothing was recorded of it.
        """
        recorded = program.recorded
        plan = recorded.recorded.checked.plan
        outcomes = [
            CallOutcome(
                called=Called(
                    span_ns=call.times.span_ns,
                    activities=activities_of(plan, recorded.activities, call.times),
                ),
                outputs=call.outputs,
                poisons=call.poisons,
                layout=recorded.recorded.layout,
                mutated=list(call.mutated),
                damage=list(call.damage),
            )
            for call in calls
        ]
        with self._calls.times.measured("verdicts"):
            try:
                program.right.require(input_sets, outcomes)
            except ReplayDiffersError as error:
                raise NotSealedError(f"{DIFFERS}: {str(error)[:300]}") from error
        program.checked += len(calls)
        if any(call.times.span_ns is None for call in calls):
            why = program.runners[0].clock_note
            raise NotSealedError("a replay left no activity records" + (f": {why}" if why else ""))
        return [outcome.claims for outcome in outcomes]

    def _other_families(self, pair: ReplayedPair) -> None:
        """Replays a call of the candidate on inputs of families that are not timed.

        A plan that is right for values as they are timed alone is one for show.

        Raises:
            NotSealedError: when a replay is wrong.
        """
        count = min(self._checks.families + 1, pair.ours.runners[0].most_calls)
        families = pick_families(self._operator.families, count, self._rng)
        if families:
            drawn = [self._generator.generate(pair.case, family) for family in families]
            self._spans([pair.ours], drawn, None, pair.watch)

    def _beside(self, pair: ReplayedPair) -> None:
        """Replays the same inputs with a warm cache, and with one that holds no dirty line."""
        most = min(program.runners[0].most_calls for program in pair.programs)
        sets = [pair.draw()] * min(self._checks.warm_calls + 1, most)
        for kind in (Objective.WARM, Objective.CLEAN):
            if kind is not self._objective:
                found = self._spans(pair.programs, sets, kind, pair.watch)
                for program, spans in zip(pair.programs, found, strict=True):
                    # The first warm one finds the cache as the flush before left it.
                    program.samples[kind].spans_ns += spans[1:]

    def _spans(
        self,
        programs: Sequence[ReplayedProgram],
        input_sets: Sequence[InputSet],
        kind: Objective | None,
        watch: ClockWatch,
    ) -> list[list[int]]:
        """The spans of the same calls in the first runner of each program."""
        kinds = [kind] * len(input_sets)
        poison = poison_bytes(len(input_sets), self._rng.randrange(256))
        turns = [Turn(program, 0, input_sets, kinds, poison) for program in programs]
        replay_in_turn(turns, watch.now, self._context.contexts_held)
        found: list[list[int]] = []
        for turn in turns:
            outcomes = self._judged(turn.program, turn.input_sets, turn.runner.look())
            spans = [outcome.called.span_ns for outcome in outcomes]
            found.append([span for span in spans if span is not None])
            turn.program.right.forget()
        return found

    def _back_to_back(self, pair: ReplayedPair) -> None:
        """Times calls back to back: until the interval is narrow if they rank, else a few."""
        kind = Objective.SUSTAINED
        try:
            if self._objective is kind:
                self._pairs(kind, pair)
            elif count := self._checks.sustained_passes:
                drawn = [pair.draw() for _ in range(self._calls_for(pair.case))]
                for program in pair.programs:
                    program.samples[kind].spans_ns += self._passes(program, 0, drawn, count)
        except NotSustainedError as error:
            if self._objective is kind:
                raise NotSealedError(f"sustained times: {error}") from error
            for program in pair.programs:
                program.samples[kind] = Samples()
            self._calls.note("sustained", f"There is no sustained time here: {error}")

    def _passes(
        self, program: ReplayedProgram, block: int, input_sets: Sequence[InputSet], count: int
    ) -> list[int]:
        layout = program.recorded.recorded.layout
        with self._context.contexts_held():
            return self._sustained.passes(program.runners[block], layout, input_sets, count)

    def _witness(self, pair: ReplayedPair) -> str:
        """Bounds the mean spans by the judge's own clock; how the runners differ, in words.

        The bound is of the inputs that lie in place. Where what a call takes depends on its
        inputs, the mean of all may lie below it; then one of the timed calls is looked at again.
        A plan that was kept is of the operator's own baseline, and was bounded when it was new.
        """
        for program in pair.programs:
            bounded = program is pair.theirs and self._runners.recorded_before
            if not bounded:
                program.witness = program.runners[0].witness()
                if program.doubted:
                    self._look_again(program)
        if pair.theirs is None:
            return ""
        runners = zip(pair.ours.runners, pair.theirs.runners, strict=True)
        return next(filter(None, (unlike(a.yardstick, b.yardstick) for a, b in runners)), "")

    def _look_again(self, program: ReplayedProgram) -> None:
        runner, (chosen, reported_ns) = program.runners[0], program.chosen
        spans: list[int | None] = []
        for _ in range(REPLAYS_AGAIN):
            with self._context.contexts_held():
                calls = runner.replay([chosen], poison_bytes(1, self._rng.randrange(256)), ["fill"])
            spans += [one.called.span_ns for one in self._judged(program, [chosen], calls)]
        again = tuple(float(span) for span in spans if span is not None)
        program.again = SecondLook(reported_ns, again, runner.witness())
