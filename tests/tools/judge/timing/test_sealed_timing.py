"""Times are sealed where every replay is right, else claimed with the reason."""

from __future__ import annotations

import itertools
import random
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from kernel_harness.tools.judge.calls.judged_call import JudgedCall, slots_of
from kernel_harness.tools.judge.calls.shared_memory import Damage, Layout
from kernel_harness.tools.judge.checks import integrity
from kernel_harness.tools.judge.machine.clock_rate import OwnClock
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    InputSet,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.processes.progress import Cancellation, Reporter
from kernel_harness.tools.judge.processes.runner_process import RunnerLostError
from kernel_harness.tools.judge.replay.launched_work import WatchedCall
from kernel_harness.tools.judge.replay.memory.placed_values import pattern_of
from kernel_harness.tools.judge.replay.program_runner import ReplayedCall
from kernel_harness.tools.judge.replay.recorded_call import NotRecordedError, RecordedCall
from kernel_harness.tools.judge.replay.rotation import NotRotatedError
from kernel_harness.tools.judge.replay.validation import CheckedPlan
from kernel_harness.tools.judge.replay.wall_clock import YardstickTimes
from kernel_harness.tools.judge.replay.witness import Witness
from kernel_harness.tools.judge.timing import sealed_timing as sealed_module
from kernel_harness.tools.judge.timing.paired_timing import PairedTiming, Timed
from kernel_harness.tools.judge.timing.process_pairs import ProcessPair
from kernel_harness.tools.judge.timing.programs import trial_runners
from kernel_harness.tools.judge.timing.programs.kept_baseline import KeptBaseline
from kernel_harness.tools.judge.timing.recorders import RecordedProgram, sealing_fault
from kernel_harness.tools.judge.trial_parts import TrialParts
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.messages.launches import Activity, PassedParameters, WatchedLaunches
from kernel_harness.tools.messages.runner import ReplayTimes
from kernel_harness.tools.schema.evaluation import DeviceInfo, Executor, Status
from kernel_harness.tools.schema.measurement import Measurement, Objective, TimeSource

from ....judging import AFFINE, make_plan, make_solution, read_definition
from ...messages.plans import kernel, plan_of
from ..scripted import ScriptedSession

CPU = torch.device("cpu")
CASE = Case("affine-17", {"m": 17}, scalars={"alpha": 0.5})
HONEST = "def run(x, w, table, alpha, y, row):\n    pass\n"
OURS, THEIRS = 4_000, 8_000


def honest(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return y, y.sum(dim=-1)


def right_for_small_values(x, w, table, alpha):
    return honest(x.clamp(-100.0, 100.0), w, table, alpha)


def unscaled(x, w, table, alpha):
    return honest(x, w, table, 1.0)


@dataclass
class ScriptedRunner:
    """Replays a Python function; claims spans in turn."""

    compute: Any = honest
    spans: list[int | None] = field(default_factory=lambda: [OURS])
    events_more_ns: int = 500
    most_calls: int = 100
    lost: bool = False
    seen: list[InputSet] = field(default_factory=list)
    poison: list[int] = field(default_factory=list)
    flushes: list[tuple[str, int]] = field(default_factory=list)
    mutated: tuple[str, ...] = ()
    damage: tuple[Damage, ...] = ()
    kept: str = ""
    least_ns: float = 1_000.0
    yardstick_ns: int = 10_000
    activities: int = 1
    ended: bool = False
    closed: bool = False
    clock_note: str = ""
    call_ns: float = 3_500.0
    bound_ns: float = 3_400.0
    not_rotated: str = ""
    copies: int = 9
    passes: int = 0
    looked_at: list[list[int]] = field(default_factory=list)
    others_stopped: ClassVar[bool] = False
    """Whether every process of a candidate is stopped."""

    alive: bool = True
    placed: list[InputSet] = field(default_factory=list)
    calls: list[ReplayedCall] = field(default_factory=list)
    unheard: bool = False
    nbytes: int = 1 << 20
    trials: int = 0
    loads: list[RecordedCall] = field(default_factory=list)
    witnesses: int = 0

    def is_large_enough(self, arena_bytes: int, staging_bytes: int) -> bool:
        return arena_bytes <= self.nbytes

    def begin_trial(self, times: Any) -> None:
        self.trials += 1

    def load(self, recorded: RecordedCall) -> Any:
        self.recorded = recorded
        self.loads.append(recorded)
        return SimpleNamespace(loaded=SimpleNamespace(kept=self.kept))

    @property
    def yardstick(self) -> YardstickTimes:
        wall = Witness(self.yardstick_ns + 2_000.0, 100.0, 0.0, 40)
        return YardstickTimes((self.yardstick_ns,) * 3, wall)

    def wait_for_clock(self, least_ns: float | None) -> float:
        assert self.others_stopped
        return float(self.yardstick_ns)

    def witness(self) -> Witness:
        self.witnesses += 1
        return Witness(self.least_ns + 100.0, 100.0, 0.0, 40)

    def replay(self, input_sets: Any, poison: Any, flushes: Any) -> list[ReplayedCall]:
        self.place(input_sets)
        self.make(poison, flushes)
        self.hear()
        return self.look()

    def place(self, input_sets: Any) -> None:
        assert not self.unheard, "what it wrote would be overwritten before anybody looks"
        self.placed = input_sets

    def await_placed(self) -> None:
        pass

    def make(self, poison: Any, flushes: Any) -> None:
        assert self.others_stopped
        if self.lost:
            raise RunnerLostError("replay", "it ended with status -9")
        pairs = list(zip(self.placed, poison, strict=True))
        self.calls = [self._call(input_set, byte) for input_set, byte in pairs]
        typical = [s.family == "typical" for s in self.placed]
        for flush, of in itertools.groupby(
            flush for flush, timed in zip(flushes, typical, strict=True) if timed
        ):
            self.flushes.append((flush, len(list(of))))
        timed = [p for p, t, f in zip(pairs, typical, flushes, strict=True) if t and f == "fill"]
        self.seen += [input_set for input_set, _ in timed]
        self.poison += [byte for _, byte in timed]
        self.unheard = True

    def hear(self) -> None:
        self.unheard = False

    def look(self) -> list[ReplayedCall]:
        assert not self.unheard
        calls, self.placed, self.calls = self.calls, [], []
        return calls

    def _call(self, input_set: InputSet, byte: int) -> ReplayedCall:
        span = self.spans.pop(0) if len(self.spans) > 1 else self.spans[0]
        events = None if span is None else span + self.events_more_ns
        times = ReplayTimes(
            span_ns=span, events_ns=events, activities=[(0, span or 0)] * self.activities
        )
        y, row = self.compute(*input_set.inputs.values())
        outputs: dict[str, torch.Tensor] = {"y": y, "row": row}
        slots = [s for s in self.recorded.layout.slots if s.name.startswith("out:")]
        poisons = {s.name.partition(":")[2]: pattern_of(byte, s) for s in slots}
        return ReplayedCall(times, outputs, poisons, mutated=self.mutated, damage=self.damage)

    def rotate(self, l2_bytes: int, memory_bytes: int) -> Any:
        if self.not_rotated:
            raise NotRotatedError(self.not_rotated)
        return SimpleNamespace(
            copies=self.copies, bound=lambda: Witness(self.bound_ns, 0.0, 0.0, 27)
        )

    def sustain(
        self, input_sets: Any, kept: list[int], poison: list[int]
    ) -> tuple[float, list[ReplayedCall]]:
        self.passes += 1
        self.looked_at.append(kept)
        pairs = zip(input_sets, poison, strict=True)
        return self.call_ns, [self._call(s, byte) for s, byte in pairs]

    def end(self) -> None:
        self.ended = True

    def free(self) -> None:
        assert self.ended, "the runner still uses the memory"
        self.closed = True


PASSED = "07000000"


def launched_with(parameters: str) -> WatchedLaunches:
    return WatchedLaunches(
        launches=[
            PassedParameters(
                kernel="first",
                grid=[1, 1, 1],
                block=[32, 1, 1],
                parameters=parameters,
                layout=[(0, 4)],
            )
        ]
    )


@dataclass
class ScriptedRecorders:
    """Gives one recording of each program, or the reason why there is none."""

    reason: str | None = None
    whole: bool = True
    activities: tuple[Activity, ...] = (
        Activity(
            name="first", start_ns=0, end_ns=1, origin="candidate", grid=[1, 1, 1], block=[32, 1, 1]
        ),
    )
    passed: tuple[str, str] = (PASSED, PASSED)
    """What the two watched calls pass."""
    asked: int = 0
    closed: bool = False
    programs: tuple[bool, ...] = (False, True)

    def records(self, *, baseline: bool) -> bool:
        return baseline in self.programs

    def record(self, case: Any, sets: Any) -> dict[bool, RecordedProgram]:
        return {baseline: self._recorded() for baseline in self.programs}

    def _recorded(self) -> RecordedProgram:
        self.asked += 1
        if self.reason is not None:
            raise NotRecordedError(self.reason)
        slots = tuple(slots_of(read_definition(AFFINE), CASE))
        nothing = torch.empty(0, dtype=torch.uint8)
        layout = Layout(nothing, slots, {}, nothing, nothing)
        plan, file = plan_of(b"a cubin", nodes=[kernel(parameters=PASSED)])
        recorded = RecordedCall(CheckedPlan(plan, (file,)), layout, (), {})
        called, host = (70_000, 71_000), (90_000, 91_000)
        watched = tuple(WatchedCall(launched_with(digits), ()) for digits in self.passed)
        return RecordedProgram(recorded, called, host, self.activities, watched, self.whole)

    def process(self, *, baseline: bool) -> Any:
        return SimpleNamespace(arena_bytes=1 << 20)


@dataclass
class ScriptedContext:
    info: DeviceInfo
    device: torch.device = CPU
    memory_mhz: int | None = None
    interpreted: bool = False
    not_sealed: str | None = None
    yardstick_ns: float | None = None

    def start_runner(self) -> None:
        return None

    @contextmanager
    def paused(self) -> Iterator[None]:
        ScriptedRunner.others_stopped = True
        try:
            yield
        finally:
            ScriptedRunner.others_stopped = False

    def contexts_held(self) -> AbstractContextManager[None]:
        return nullcontext()

    @property
    def own_clock(self) -> OwnClock:
        return OwnClock(CPU)


H200 = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, sm_count=132)


@dataclass
class ScriptedPairs:
    pairs: list[ProcessPair]
    started: int = 0

    def start(self, cases: Any) -> None:
        self.started += 1

    def ready(self, checked: Any, note: Any) -> list[ProcessPair]:
        return self.pairs

    def share_compiled(self, pair: ProcessPair) -> None:
        pass


@dataclass
class Outcome:
    timed: Timed
    candidates: list[ScriptedRunner]
    baselines: list[ScriptedRunner]
    pairs: ScriptedPairs
    recorders: ScriptedRecorders
    timing: PairedTiming

    @property
    def measurement(self) -> Measurement:
        assert self.timed.measurement is not None
        return self.timed.measurement


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(PairedTiming, "_preheat", lambda self: None)

    def run(
        candidate: Any = ScriptedRunner,
        baseline: Any = lambda: ScriptedRunner(spans=[THEIRS]),
        recorders: ScriptedRecorders | None = None,
        blocks: int = 2,
        compute: Any = honest,
        kernels: tuple[str, ...] = (),
        kept: KeptBaseline | None = None,
        **more: Any,
    ) -> Outcome:
        made: list[ScriptedRunner] = []

        def start(*arguments: Any) -> ScriptedRunner:
            made.append(candidate() if len(made) < blocks else baseline())
            return made[-1]

        monkeypatch.setattr(trial_runners, "ProgramRunner", start)
        solution = make_solution(HONEST, definition="affine_n64")
        numbers = {"pairs_per_block": 4, "max_pairs": 8, "half_width": 0.0, "warm_calls": 2}
        checks = wire_judge.Checks(blocks=blocks, **(numbers | more))
        plan = make_plan(solution, baseline=solution, checks=checks)
        operator = OperatorAdapter(read_definition(AFFINE), AFFINE)
        process = ScriptedSession(compute, [9_000])
        process.kernels = list(kernels)
        session = JudgedCall(
            process,
            operator.definition,
            CPU,
            random.Random(1),
            by_destination=True,
        )
        assert session.map([CASE]) is None
        pairs = ScriptedPairs([ProcessPair(session, None)])
        recorders = recorders or ScriptedRecorders()
        timing = PairedTiming(
            TrialParts(
                plan,
                ScriptedContext(H200),  # pyright: ignore[reportArgumentType]
                InputGenerator(operator, CPU, SeedBook(), PrefetchedInputs(1 << 20)),
                Reporter(lambda message: None, plan.evaluation_id),
                Cancellation(),
                random.Random(7),
                time.monotonic() + 60,
            ),
            recorders,  # pyright: ignore[reportArgumentType]
            kept=kept,
        )
        results = timing.run([CASE], session, pairs)  # pyright: ignore[reportArgumentType]
        timing.close()
        return Outcome(results[CASE.uuid], made[:blocks], made[blocks:], pairs, recorders, timing)

    return run


def test_right_replays_are_sealed_and_the_process_that_calls_tells_only_what_stands_beside(run):
    found = run()
    measurement, baseline = found.measurement, found.timed.baseline
    assert measurement.clock is TimeSource.SEALED and measurement.clock_reason is None
    assert measurement.cold_ns == [OURS] * 8 and measurement.block == [0] * 4 + [1] * 4
    assert measurement.warm_ns == measurement.clean_ns == [OURS] * 2
    assert measurement.called_ns == [70_000, 71_000] and measurement.host_ns == [90_000, 91_000]
    assert baseline is not None and baseline.cold_ns == [THEIRS] * 8
    assert baseline.clock is TimeSource.SEALED
    assert [(k.name, k.origin, k.launches) for k in measurement.kernels] == [
        ("first", "candidate", 8)
    ]
    assert not found.pairs.started, "no process of the candidate was timed"


def test_candidate_and_baseline_see_the_same_fresh_inputs_and_poison(run):
    found = run()
    for ours, theirs in zip(found.candidates, found.baselines, strict=True):
        assert [s.seed for s in ours.seen] == [s.seed for s in theirs.seen]
        assert len({s.seed for s in ours.seen}) == len(ours.seen) == 4
        assert ours.poison == theirs.poison
        assert all(a != b for a, b in zip(ours.poison, ours.poison[1:], strict=False))


def test_inputs_are_drawn_while_plans_are_loaded(run, monkeypatch):
    asked: list[tuple[list[str], int]] = []

    def prepare_more(self: Any, cases: Any, count: int, waiting: Any, drawn: Any) -> None:
        asked.append(([case.uuid for case in cases], count))
        assert isinstance(waiting(), bool)

    monkeypatch.setattr(InputGenerator, "prepare_more", prepare_more)
    found = run(blocks=2, max_pairs=10)
    assert found.measurement.clock is TimeSource.SEALED
    replayed, beside = 5, 1
    assert asked == [([CASE.uuid], replayed + beside)]


class Forgetful(ScriptedRunner):
    """Keeps no inputs, as a process of its own keeps none."""

    def make(self, poison: Any, flushes: Any) -> None:
        super().make(poison, flushes)
        self.seen.clear()


def test_large_inputs_are_drawn_few_at_once_and_freed_before_others_are(run, monkeypatch):
    drawn: list[weakref.ref[InputSet]] = []
    alive: list[int] = []
    generate = InputGenerator.generate

    def generated(self: InputGenerator, case: Any, family: str = "") -> InputSet:
        alive.append(sum(ref() is not None for ref in drawn))
        found = generate(self, case, family)
        drawn.append(weakref.ref(found))
        monkeypatch.setattr(sealed_module, "DRAWN_BYTES", 2 * found.nbytes)
        return found

    monkeypatch.setattr(InputGenerator, "generate", generated)
    found = run(candidate=Forgetful, baseline=Forgetful, pairs_per_block=8, max_pairs=16)
    turns = [count for flush, count in found.candidates[0].flushes if flush == "fill"]
    assert turns == [2, 2, 2, 2]
    assert len(found.measurement.cold_ns) == 16
    assert found.measurement.block == [0, 0, 1, 1] * 4
    # Two that are drawn, and of each program one that may be looked at again.
    assert max(alive) <= 4


def test_pairs_that_are_wanted_are_taken_in_few_turns(run):
    noisy = [OURS + 400 * (n % 5) for n in range(400)]
    found = run(candidate=lambda: ScriptedRunner(spans=list(noisy)), max_pairs=60, half_width=0.001)
    turns = [count for flush, count in found.candidates[0].flushes if flush == "fill"]
    assert len(found.measurement.cold_ns) == 60
    assert len(turns) <= 5


def test_no_process_of_a_candidate_runs_while_runners_replay(run):
    run()
    assert not ScriptedRunner.others_stopped


def slower_back_to_back() -> ScriptedRunner:
    return ScriptedRunner(spans=[THEIRS], call_ns=7_000.0, bound_ns=6_900.0)


def test_calls_back_to_back_are_timed_beside_the_cold_ones_where_asked(run):
    assert run().measurement.sustained_ns == []
    found = run(baseline=slower_back_to_back, sustained_passes=3)
    measurement, baseline = found.measurement, found.timed.baseline
    assert measurement.sustained_ns == [3_500] * 3 and baseline.sustained_ns == [7_000] * 3
    assert measurement.cold_ns == [OURS] * 8 and measurement.ranked_by is Objective.COLD
    looked_at = found.candidates[0].looked_at
    assert all(len(set(kept)) == 4 and set(kept) <= set(range(9)) for kept in looked_at)
    assert len({tuple(kept) for kept in looked_at}) > 1, "the copies are chosen by chance"


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (lambda: ScriptedRunner(not_rotated="no room for two copies"), "no room"),
        (lambda: ScriptedRunner(bound_ns=9_000.0), "judge's clock"),
    ],
)
def test_what_cannot_be_timed_back_to_back_is_noted_and_stays_sealed(run, candidate, words):
    found = run(candidate=candidate, sustained_passes=2)
    assert found.measurement.clock is TimeSource.SEALED
    assert found.measurement.sustained_ns == found.timed.baseline.sustained_ns == []
    assert [words in f.message for f in found.timing.findings if f.claim == "sustained"] == [True]
    claimed = run(candidate=candidate, objective="sustained")
    assert claimed.timed.measurement is None and words in claimed.timed.reason


def test_a_wrong_call_on_a_copy_gives_no_sustained_time(run):
    class WrongOnCopies(ScriptedRunner):
        def sustain(
            self, input_sets: Any, kept: Any, poison: Any
        ) -> tuple[float, list[ReplayedCall]]:
            self.compute = unscaled
            return super().sustain(input_sets, kept, poison)

    found = run(candidate=WrongOnCopies, sustained_passes=2)
    assert found.measurement.clock is TimeSource.SEALED and not found.measurement.sustained_ns
    assert any("a call on a copy differs" in f.message for f in found.timing.findings)


@pytest.mark.parametrize(
    ("objective", "flush"), [("clean", "read"), ("warm", "none"), ("sustained", None)]
)
def test_the_objective_ranks_paired_times_of_its_kind(run, objective, flush):
    found = run(baseline=slower_back_to_back, objective=objective, max_pairs=20, half_width=-1.0)
    measurement, baseline = found.measurement, found.timed.baseline
    assert measurement.clock is TimeSource.SEALED and measurement.ranked_by == objective
    ours, theirs = (3_500, 7_000) if objective == "sustained" else (OURS, THEIRS)
    assert measurement.ranked_ns == [ours] * 20 and baseline.ranked_ns == [theirs] * 20
    assert len(measurement.block) == 20 and len(set(measurement.block)) == 2
    assert len(measurement.cold_ns) == 8, "what a seal needs, and no more"
    calls = sum(n for how, n in found.candidates[0].flushes if how == flush)
    assert found.candidates[0].passes == (10 if objective == "sustained" else 0)
    assert calls == (0 if objective == "sustained" else 10)


@pytest.mark.parametrize("objective", ["clean", "sustained"])
def test_claimed_calls_have_no_times_of_some_kinds(run, objective):
    reason = ScriptedRecorders(reason="the call waits for the device")
    found = run(recorders=reason, objective=objective)
    assert found.timed.measurement is None and found.timed.failure is None
    assert objective in found.timed.reason and "waits for the device" in found.timed.reason


def test_runners_end_with_the_timing(run):
    found = run()
    assert all(r.closed for r in [*found.candidates, *found.baselines])


STRAY = Damage("out:y", "after", 1, 4, torch.float32, 8192)
CLAIMED = [
    pytest.param(
        {"candidate": lambda: ScriptedRunner(compute=unscaled)}, "replay differs", id="wrong"
    ),
    pytest.param(
        {"candidate": lambda: ScriptedRunner(mutated=("x",))}, "changed its input", id="mutates"
    ),
    pytest.param(
        {"candidate": lambda: ScriptedRunner(damage=(STRAY,))}, "out of bounds", id="stray-write"
    ),
    pytest.param({"candidate": lambda: ScriptedRunner(lost=True)}, "status -9", id="lost"),
    pytest.param(
        {"candidate": lambda: ScriptedRunner(least_ns=OURS + 1.0)}, "own clock", id="too-short"
    ),
    pytest.param(
        {"baseline": lambda: ScriptedRunner(spans=[THEIRS], least_ns=THEIRS + 1.0)},
        "baseline: below_witness",
        id="baseline-too-short",
    ),
    pytest.param(
        {"candidate": lambda: ScriptedRunner(yardstick_ns=12_000)}, "yardstick", id="unlike"
    ),
    pytest.param(
        {"candidate": lambda: ScriptedRunner(kept="device heap")}, "device heap", id="kept"
    ),
    pytest.param(
        {"candidate": lambda: ScriptedRunner(activities=2)}, "left 2 activities", id="more-work"
    ),
    pytest.param({"candidate": lambda: ScriptedRunner(spans=[None])}, "no activity", id="no-span"),
    pytest.param(
        {"candidate": lambda: ScriptedRunner(spans=[None], clock_note="CUPTI error 35")},
        "a replay left no activity records: CUPTI error 35",
        id="no-recorder",
    ),
    pytest.param(
        {"candidate": lambda: ScriptedRunner(events_more_ns=90_000)}, "events", id="two-clocks"
    ),
    pytest.param({"candidate": lambda: ScriptedRunner(most_calls=0)}, "do not fit", id="too-large"),
    pytest.param(
        {"baseline": lambda: ScriptedRunner(compute=unscaled)}, "replay differs", id="baseline"
    ),
    pytest.param(
        {"recorders": ScriptedRecorders(reason="the call waits for the device")},
        "waits for the device",
        id="not-recorded",
    ),
    pytest.param(
        {"recorders": ScriptedRecorders(whole=False)}, "was recorded", id="ordinary-call-unknown"
    ),
    pytest.param(
        {"recorders": ScriptedRecorders(passed=(PASSED, "08000000"))},
        "parameters of first differ from call to call",
        id="numbers-of-the-hosts-own",
    ),
    pytest.param(
        {"candidate": lambda: ScriptedRunner(compute=right_for_small_values)},
        "replay differs",
        id="right-where-it-is-timed",
    ),
]


@pytest.mark.parametrize(("script", "words"), CLAIMED)
def test_what_cannot_be_sealed_is_claimed_with_the_reason_and_never_blamed(run, script, words):
    found = run(**script)
    assert found.timed.failure is None
    assert found.measurement.clock is TimeSource.CLAIMED
    assert words in (found.measurement.clock_reason or "")
    assert found.measurement.cold_ns == [9_000] * 8
    assert found.pairs.started == 1


@dataclass
class InputsDecide(ScriptedRunner):
    """Every second set of inputs takes 9 µs instead of 4; the judge's clock sees the last replayed.

    Args:
        told: what is told, by the number of times that a set was replayed and its true span.
    """

    told: Any = lambda times, true: true
    true_ns: dict[int, int] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    in_place: int = 9_000
    held: list[InputSet] = field(default_factory=list)

    def _call(self, input_set: InputSet, byte: int) -> ReplayedCall:
        key = id(input_set)
        self.held.append(input_set)  # or another could have its id
        true = self.true_ns.setdefault(key, 4_000 + 5_000 * (len(self.true_ns) % 2))
        self.times[key] = self.times.get(key, 0) + 1
        self.in_place = true if self.times[key] > 1 and len(self.flushes) > 4 else 9_000
        self.spans = [self.told(self.times[key], true)]
        return super()._call(input_set, byte)

    def witness(self) -> Witness:
        return Witness(self.in_place + 100.0, 100.0, 0.0, 40)


@pytest.mark.parametrize(
    ("told", "clock"),
    [
        pytest.param(lambda times, true: true, TimeSource.SEALED, id="honest"),
        pytest.param(lambda times, true: true // 2, TimeSource.CLAIMED, id="all-shortened"),
        pytest.param(
            lambda times, true: true if times > 1 else true // 2,
            TimeSource.CLAIMED,
            id="shortened-when-new",
        ),
    ],
)
def test_calls_that_take_what_their_inputs_say_are_bounded_on_inputs_of_their_own(run, told, clock):
    found = run(candidate=lambda: InputsDecide(told=told), blocks=1)
    measurement = found.measurement
    assert measurement.clock is clock
    if clock is TimeSource.SEALED:
        assert sorted(set(measurement.cold_ns)) == [4_000, 9_000]
    else:
        assert "own clock" in (measurement.clock_reason or "")


OTHER_KERNELS = [
    pytest.param({"recorders": ScriptedRecorders(activities=())}, "fewer often", id="fewer"),
    pytest.param(
        {"recorders": ScriptedRecorders(activities=2 * ScriptedRecorders.activities)},
        "more often",
        id="more",
    ),
    pytest.param(
        {"recorders": ScriptedRecorders(passed=("01000000", "01000000"))},
        "is 0x7 in the recorded call and 0x1 in ordinary ones",
        id="parameters",
    ),
    pytest.param({"kernels": ("other",)}, "no call launched", id="in-other-processes"),
]


@pytest.mark.parametrize(("script", "words"), OTHER_KERNELS)
def test_a_plan_of_other_launches_than_ordinary_calls_make_is_a_violation(run, script, words):
    found = run(**script)
    assert found.timed.status is Status.INTEGRITY_VIOLATION and found.timed.measurement is None
    assert found.timed.failure is not None and words in found.timed.failure.message
    assert [f.claim for f in found.timing.findings] == [integrity.SAME_KERNELS]
    assert not found.pairs.started


@pytest.mark.parametrize("kernels", [(), ("first", "other")])
def test_kernels_that_were_launched_before_or_of_which_nothing_is_known_are_sealed(run, kernels):
    assert run(kernels=kernels).measurement.clock is TimeSource.SEALED


def test_a_candidate_that_is_wrong_in_ordinary_calls_fails(run):
    found = run(candidate=lambda: ScriptedRunner(compute=unscaled), compute=unscaled)
    assert found.timed.status is Status.INCORRECT_NUMERICAL


@pytest.mark.parametrize(
    ("asked", "fault", "words"),
    [(True, None, None), (True, "no compiler", "no compiler"), (False, None, "sealed_clock")],
)
def test_the_reason_is_known_before_anything_is_tried(asked, fault, words):
    plan = make_plan(make_solution(HONEST, definition="affine_n64")).model_copy(
        update={"sealed_clock": asked}
    )
    found = sealing_fault(SimpleNamespace(not_sealed=fault), plan)  # pyright: ignore[reportArgumentType]
    assert found == words or (words and words in (found or ""))
