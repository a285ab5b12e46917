"""Times candidate and baseline by replays of their recorded calls, out of the candidate's reach.

One call of the workload is recorded in a process of each program; a runner of each, in which no
host code of a candidate runs, replays the launches on inputs that the recording process never saw.
Every replay's outputs are compared with the reference. As in `paired_timing`, candidate and
baseline take turns (A B B A …) on the same inputs, in several fresh pairs of runners.

Where a time cannot be sealed the answer is a reason, and `paired_timing` times the ordinary way.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ...messages.candidate import Activity, Called
from ...messages.judge import EvaluatePlan
from ...messages.launch_plan import ARENA_BASE, KernelLaunch, PlanNode
from ...messages.runner import Flush
from ...schema.measurement import Measurement, TimeSource
from ..calls.judged_call import CallOutcome, slots_of
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import Case
from ..processes.context import JudgeContext
from ..processes.runner_process import RunnerLostError
from ..replay.decision import ReplayEvidence, decide
from ..replay.output_checks import ReplayDiffersError, RightOutputs, poison_bytes
from ..replay.program_runner import ProgramRunner, ReplayedCall
from ..replay.recorded_call import NotRecordedError
from ..replay.wall_clock import unlike
from ..replay.witness import Witness
from ..trial_parts import TrialParts
from .clock_monitor import ClockWatch
from .recorders import RecordedProgram, Recorders
from .samples import Samples, half_width, kernel_times, log_ratios
from .timed_calls import Timed, TimedCalls

STAGING_BYTES = 2 << 30
STAGING_SLACK = 1.25
"""Returned outputs may be spread over more memory than their elements fill."""
SHOWN_NAME = 400
InputSets = Callable[[], InputSet]
_Shape = tuple[str, tuple[int, ...], tuple[int, ...]]
"""A kernel's name, grid and block."""


class NotSealedError(Exception):
    """Raised where a workload's times cannot be sealed; its text is the reason."""


@dataclass
class _Program:
    """One program on one workload: its recording, its runners, and what was seen of its replays."""

    recorded: RecordedProgram
    runners: list[ProgramRunner]
    right: RightOutputs
    samples: Samples = field(default_factory=Samples)
    spans: list[int | None] = field(default_factory=list)
    events: list[int | None] = field(default_factory=list)
    clean_ns: list[int] = field(default_factory=list)
    checked: int = 0
    kept: str = ""
    witness: Witness | None = None


class SealedTiming:
    """Times workloads by replay.

    Args:
        recorders: started, for all of the cases.
        calls: gives the stage times and the count of verified calls.
    """

    def __init__(self, parts: TrialParts, recorders: Recorders, calls: TimedCalls) -> None:
        self._plan, self._checks = parts.plan, parts.plan.checks
        self._context, self._operator = parts.context, parts.operator
        self._recorders, self._cancellation = recorders, parts.cancellation
        self._calls, self._rng, self._deadline = calls, parts.rng, parts.deadline
        self._runners: dict[bool, list[ProgramRunner]] = {}
        self._staging_bytes = 0
        self._not_recorded: str | None = None

    def prepare(self, cases: Sequence[Case]) -> None:
        """Notes how much memory the values of the largest workload's calls need."""
        needed = [self._call_bytes(case) * self._calls_for(case) for case in cases]
        self._staging_bytes = max(needed, default=0)

    def time(self, case: Case, sets: InputSets, watch: ClockWatch) -> Timed:
        """The sealed times of a workload.

        Raises:
            NotSealedError: with the reason why they cannot be sealed.
        """
        if self._not_recorded is not None:
            raise NotSealedError(self._not_recorded)
        try:
            with self._calls.times.measured("timing_record"):
                ours, theirs = self._programs(sets)
            with self._context.paused():
                with self._calls.times.measured("timing_replay"):
                    self._pairs(case, ours, theirs, sets, watch)
                    self._beside(ours, theirs, sets())
                with self._calls.times.measured("timing_witness"):
                    differ = self._witness(ours, theirs)
        except NotRecordedError as error:
            self._not_recorded = str(error) if error.final else None
            raise NotSealedError(str(error)) from error
        except RunnerLostError as error:
            self.close()
            # One that does not start does not start the next time either.
            self._not_recorded = error.what if error.stage == "start" else None
            raise NotSealedError(error.what) from error
        for who, program in (("", ours), ("baseline: ", theirs)):
            if program is not None and (words := _not_sealed(program, differ)):
                raise NotSealedError(f"{who}{words}")
        timed = Timed(calls=ours.checked)
        timed.measurement = _measurement(ours, watch)
        timed.baseline = _measurement(theirs, watch) if theirs is not None else None
        return timed

    def close(self) -> None:
        """Ends the runners."""
        for runner in [r for runners in self._runners.values() for r in runners]:
            runner.close()
        self._runners = {}

    def _programs(self, sets: InputSets) -> tuple[_Program, _Program | None]:
        """Records a call of each program and loads its plan into every runner of the program."""
        programs: dict[bool, _Program] = {}
        for baseline, recorded in self._recorders.record(sets).items():
            if (words := _other_kernels(recorded)) is not None:
                raise NotRecordedError(words)
            runners = self._runners_of(baseline=baseline)
            programs[baseline] = _Program(recorded, runners, RightOutputs(self._operator))
        loads = [(p, runner) for p in programs.values() for runner in p.runners]
        with ThreadPoolExecutor(len(loads)) as threads:  # each waits for a process of its own
            for (program, _), kept in zip(loads, threads.map(_loaded, loads), strict=True):
                program.kept = kept
        if any(runner.most_calls < 1 for _, runner in loads):
            raise NotRecordedError("the values of one call do not fit into staging memory")
        return programs[False], programs.get(True)

    def _runners_of(self, *, baseline: bool) -> list[ProgramRunner]:
        if baseline not in self._runners:
            arena_bytes = self._recorders.process(baseline=baseline).arena_bytes
            self._runners[baseline] = [
                ProgramRunner(
                    self._context.start_runner(),
                    self._context.device,
                    ARENA_BASE,
                    arena_bytes,
                    self._staging_bytes,
                )
                for _ in range(self._checks.blocks)
            ]
        return self._runners[baseline]

    def _call_bytes(self, case: Case) -> int:
        slots = slots_of(self._operator.definition, case)
        kept = [s for s in slots if s.name.startswith(("in:", "out:"))]
        return int(STAGING_SLACK * sum(slot.nbytes + 256 for slot in kept)) + 4096

    def _calls_for(self, case: Case) -> int:
        """Calls that are staged at once."""
        fitting = STAGING_BYTES // self._call_bytes(case)
        return max(1, min(self._checks.pairs_per_block, fitting))

    # --- replays ------------------------------------------------------------------------------

    def _pairs(
        self,
        case: Case,
        ours: _Program,
        theirs: _Program | None,
        sets: InputSets,
        watch: ClockWatch,
    ) -> None:
        """Replays in turns until the interval of the ratio is narrow."""
        most, turn = self._checks.max_pairs, 0
        other = theirs.samples if theirs is not None else Samples()
        asked, staged = self._checks.pairs_per_block, self._calls_for(case)
        while len(ours.samples.cold_ns) < most:
            # A runner sees each set once; those of other pairs are other processes.
            drawn = [sets() for _ in range(asked)]
            for program in filter(None, (ours, theirs)):
                program.right.forget()
            for block in range(len(ours.runners)):
                left = most - len(ours.samples.cold_ns)
                for begin in range(0, min(asked, left), staged):
                    some = drawn[begin : min(begin + staged, left)]
                    self._turn(block, ours, theirs, some, turn, watch)
                    turn += 1
            narrow = half_width(log_ratios(ours.samples, other)) <= self._checks.half_width
            if narrow or time.monotonic() > self._deadline:
                return
            asked = max(2, self._checks.pairs_per_block // 2)

    def _turn(
        self,
        block: int,
        ours: _Program,
        theirs: _Program | None,
        input_sets: Sequence[InputSet],
        turn: int,
        watch: ClockWatch,
    ) -> None:
        """The same inputs through both programs, the baseline first in every second turn."""
        self._cancellation.check()
        poison = poison_bytes(len(input_sets), self._rng.randrange(256))
        order = [ours] if theirs is None else [ours, theirs] if turn % 2 else [theirs, ours]
        for program in order:
            calls = program.runners[block].replay(input_sets, poison)
            for call, outcome in zip(calls, self._judged(program, input_sets, calls), strict=True):
                program.spans.append(call.times.span_ns)
                program.events.append(call.times.events_ns)
                program.samples.add(outcome, block, watch.now())

    def _judged(
        self, program: _Program, input_sets: Sequence[InputSet], calls: Sequence[ReplayedCall]
    ) -> list[CallOutcome]:
        """The replays as calls whose outputs are right.

        Raises:
            NotSealedError: when one's are not, or nothing was recorded of it.
        """
        outcomes = [
            CallOutcome(
                called=Called(
                    span_ns=call.times.span_ns, activities=_activities(program.recorded, call)
                ),
                outputs=call.outputs,
                poisons=call.poisons,
                layout=program.recorded.recorded.layout,
                mutated=list(call.mutated),
                damage=list(call.damage),
            )
            for call in calls
        ]
        with self._calls.times.measured("verdicts"):
            try:
                program.right.require(input_sets, outcomes)
            except ReplayDiffersError as error:
                raise NotSealedError(f"replay differs: {str(error)[:300]}") from error
        program.checked += len(calls)
        if any(call.times.span_ns is None for call in calls):
            raise NotSealedError("a replay left no activity records")
        return [outcome.claims for outcome in outcomes]

    def _beside(self, ours: _Program, theirs: _Program | None, input_set: InputSet) -> None:
        """Replays the same inputs with a warm cache, and with one that holds no dirty line."""
        for program in (ours, theirs):
            if program is not None:
                # The first warm one finds the cache as the flush before left it.
                program.samples.warm_ns += self._spans(program, input_set, "none")[1:]
                program.clean_ns += self._spans(program, input_set, "read")[1:]

    def _spans(self, program: _Program, input_set: InputSet, flush: Flush) -> list[int]:
        runner = program.runners[0]
        sets = [input_set] * min(self._checks.warm_calls + 1, runner.most_calls)
        calls = runner.replay(sets, poison_bytes(len(sets), 0), flush=flush)
        judged = self._judged(program, sets, calls)
        return [one.called.span_ns for one in judged if one.called.span_ns is not None]

    def _witness(self, ours: _Program, theirs: _Program | None) -> str:
        """Bounds the mean spans by the judge's own clock; how the runners differ, in words."""
        for program in (ours, theirs):
            if program is not None:
                program.witness = program.runners[0].witness()
        if theirs is None:
            return ""
        pairs = zip(ours.runners, theirs.runners, strict=True)
        return next(filter(None, (unlike(a.yardstick, b.yardstick) for a, b in pairs)), "")


def _loaded(load: tuple[_Program, ProgramRunner]) -> str:
    """Loads the program's plan into the runner; what its kernels keep between replays."""
    program, runner = load
    return runner.load(program.recorded.recorded).loaded.kept


def _not_sealed(program: _Program, runners_differ: str) -> str:
    """Why the replays of a program prove nothing, or an empty string."""
    found = decide(
        ReplayEvidence(
            outputs_checked=program.checked,
            spans_ns=tuple(program.spans),
            events_ns=tuple(program.events),
            witness=program.witness,
            runners_differ=runners_differ,
            memory_kept=program.kept,
        )
    )
    return "" if found.clock is TimeSource.SEALED else f"{found.reason}: {found.words}"


def _measurement(program: _Program, watch: ClockWatch) -> Measurement:
    samples = program.samples
    return Measurement(
        timer="cupti",
        cold_ns=samples.cold_ns,
        warm_ns=samples.warm_ns,
        host_ns=list(program.recorded.host_ns),
        called_ns=list(program.recorded.called_ns),
        clean_ns=program.clean_ns,
        block=samples.block,
        set_aside=[i for i, at in enumerate(samples.at_s) if watch.throttled(at)],
        kernels=kernel_times(samples.activities),
        clock=TimeSource.SEALED,
    )


def _activities(program: RecordedProgram, call: ReplayedCall) -> list[Activity]:
    """What a replay did, named by the plan's nodes: both are in the order of launches.

    Raises:
        NotSealedError: when it did more or less than the plan says; whose work it was, which the
            operator's policy on libraries asks, cannot be told then.
    """
    nodes = program.recorded.checked.plan.nodes
    times = call.times.activities
    if call.times.span_ns is not None and len(nodes) != len(times):
        raise NotSealedError(f"a replay of {len(nodes)} launches left {len(times)} activities")
    origins = {activity.name: activity.origin for activity in program.activities}
    return [
        _activity(node, origins, start, end)
        for node, (start, end) in zip(nodes, times, strict=False)
    ]


def _activity(node: PlanNode, origins: Mapping[str, str], start: int, end: int) -> Activity:
    if not isinstance(node, KernelLaunch):
        return Activity(name=node.kind, start_ns=start, end_ns=end, origin="copy")
    name = _shown_name(node)
    origin = origins.get(name, "unknown")
    return Activity(name=name, start_ns=start, end_ns=end, origin=origin)


def _shown_name(kernel: KernelLaunch) -> str:
    """The name as an activity of the process that recorded has it."""
    return kernel.function[:SHOWN_NAME]


def _other_kernels(program: RecordedProgram) -> str | None:
    """How the kernels of an ordinary call differ from the recorded ones; None if they agree."""
    planned = Counter[_Shape](
        (_shown_name(kernel), kernel.grid, kernel.block)
        for kernel in program.recorded.checked.plan.kernels
    )
    ordinary = Counter[_Shape](
        (a.name, tuple(a.grid), tuple(a.block)) for a in program.activities if a.grid
    )
    for more, less, words in ((ordinary, planned, "more"), (planned, ordinary, "fewer")):
        if extra := more - less:
            name, grid, _ = next(iter(extra))
            times = "time" if extra.total() == 1 else "times"
            return (
                f"plan differs: an ordinary call launches {name[:120]} with grid {list(grid)} "
                f"{extra.total()} {times} {words} often than the recorded one"
            )
    return None


def sealing_fault(context: JudgeContext, plan: EvaluatePlan) -> str | None:
    """Why no time of this plan is sealed, before anything was tried; None if it may be."""
    if not plan.sealed_clock:
        return "the setting sealed_clock is off"
    return context.not_sealed
