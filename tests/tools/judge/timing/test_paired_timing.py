"""Paired timing with a scripted candidate and clock: its calls, their order and their bounds."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.calls.judged_call import JudgedCall
from kernel_harness.tools.judge.checks import integrity
from kernel_harness.tools.judge.machine.clock_rate import OwnClock
from kernel_harness.tools.judge.machine.machine_load import MachineLoad
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.judge.processes.progress import (
    Cancellation,
    Reporter,
    TrialCancelledError,
)
from kernel_harness.tools.judge.timing import paired_timing as timing_module
from kernel_harness.tools.judge.timing.paired_timing import PairedTiming, Timed
from kernel_harness.tools.judge.timing.process_pairs import ProcessPair
from kernel_harness.tools.judge.trial_parts import TrialParts
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.schema.evaluation import DeviceInfo, Executor, Severity, Status

from ....judging import make_plan, make_solution
from ..scripted import CASE, CPU, ScriptedSession, affine, honest, judged_call

HONEST = "def run(x, w, table, alpha, y, row):\n    pass\n"
HARDWARE = Path(__file__).parents[4] / "kernels" / "hardware.json"


@dataclass
class ScriptedPairs:
    """Process pairs that are up at once."""

    pairs: list[ProcessPair]
    shared: int = 0

    def start(self, cases: Any) -> None:
        pass

    def ready(self, checked: JudgedCall, note: Any) -> list[ProcessPair]:
        return self.pairs

    def share_compiled(self, pair: ProcessPair) -> None:
        self.shared += 1


@dataclass
class ScriptedContext:
    """A device that the table knows, without the device."""

    info: DeviceInfo
    device: torch.device = CPU
    memory_mhz: int | None = None
    interpreted: bool = False
    held: list[bool] = field(default_factory=lambda: [False])
    own_clock: Any = field(default_factory=lambda: OwnClock(CPU))
    quiet_batch_s: float | None = None

    @contextlib.contextmanager
    def contexts_held(self) -> Iterator[None]:
        self.held.append(True)
        try:
            yield
        finally:
            self.held.append(False)


H200 = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, sm_count=132)


@dataclass
class ScriptedClock:
    """A clock rate that is usual or is not, and how often it was waited for."""

    usual: bool = False
    waits: int = 0

    def is_usual(self) -> bool:
        return self.usual

    def wait(self) -> None:
        self.waits += 1


@pytest.fixture(autouse=True)
def preheated(monkeypatch) -> list[str]:
    """Notes each preheating of the device, which has no work to do here."""
    made: list[str] = []
    monkeypatch.setattr(MachineLoad, "preheat", lambda self: made.append("products"))
    return made


def run(
    candidates: list[ScriptedSession],
    baselines: list[ScriptedSession] | None = None,
    *,
    cancellation: Cancellation | None = None,
    deadline_s: float = 60.0,
    context: ScriptedContext | None = None,
    race: str = "",
    **checks: Any,
) -> tuple[Timed, PairedTiming]:
    solution = make_solution(HONEST, definition="affine_n64")
    numbers = {"pairs_per_block": 4, "max_pairs": 8, "half_width": 0.0, "warm_calls": 2, **checks}
    plan = make_plan(
        solution,
        baseline=solution if baselines else None,
        checks=wire_judge.Checks(**numbers),
        hardware_file=str(HARDWARE),
        race=race,
    )
    operator = affine()
    timing = PairedTiming(
        TrialParts(
            plan,
            context or ScriptedContext(H200),  # pyright: ignore[reportArgumentType]
            InputGenerator(operator, CPU, SeedBook(), PrefetchedInputs(1 << 20)),
            Reporter(lambda message: None, plan.evaluation_id),
            cancellation or Cancellation(),
            random.Random(7),
            time.monotonic() + deadline_s,
        )
    )
    others: list[ScriptedSession | None] = [*(baselines or [None] * len(candidates))]
    pairs = [
        ProcessPair(judged_call(c, i), judged_call(b, i + 50) if b else None)
        for i, (c, b) in enumerate(zip(candidates, others, strict=True))
    ]
    processes: Any = ScriptedPairs(pairs)
    results = timing.run([CASE], pairs[0].candidate, processes)
    return results[CASE.uuid], timing


def test_every_process_pair_gives_its_calls_and_the_samples_keep_their_order():
    spans = [*range(10_001, 10_021)]
    timed, timing = run([ScriptedSession(honest, spans), ScriptedSession(honest, [20_000])])
    measurement = timed.measurement
    assert measurement is not None and timed.failure is None
    assert measurement.block == [0] * 4 + [1] * 4
    assert measurement.cold_ns == [10_001, 10_002, 10_003, 10_004] + [20_000] * 4
    assert len(measurement.warm_ns) == 2 and len(measurement.host_ns) == 8
    assert timing.timer == "cupti" and "drawn anew" in timing.fresh_values


def test_baseline_and_candidate_take_turns_at_being_first():
    journal: list[tuple[str, str]] = []
    candidate = ScriptedSession(honest, [9_000], journal=journal)
    baseline = ScriptedSession(honest, [12_000], journal=journal, name="baseline")
    timed, _ = run([candidate], [baseline], max_pairs=4)
    cold = [name for name, what in journal if what == "cold"]
    assert cold == ["baseline", "candidate", "candidate", "baseline"] * 2
    assert timed.baseline is not None and timed.baseline.cold_ns == [12_000] * 4


def test_work_hidden_on_the_host_is_ranked_by_the_host_time():
    candidate = ScriptedSession(honest, [9_000], host_extra_ns=2_000_000)
    timed, timing = run([candidate], [ScriptedSession(honest, [12_000])], max_pairs=4)
    assert {f.claim for f in timing.findings} == {integrity.HOST_WORK}
    assert timed.measurement is not None and timed.measurement.ranked_ns == [2_009_000] * 4
    assert timed.baseline is not None and timed.baseline.ranked_ns == [12_000] * 4


def test_a_disturbed_machine_is_said_and_never_makes_host_time_rank(monkeypatch):
    words = "the processor is used by others"
    monkeypatch.setattr(MachineLoad, "disturbance", words)
    quiet, timing = run([ScriptedSession(honest, [9_000])], [ScriptedSession(honest, [12_000])])
    assert quiet.measurement is not None and set(quiet.measurement.ranked_ns) == {9_000}
    assert [f.message for f in timing.findings] == [f"While it was timed {words}."]
    candidate = ScriptedSession(honest, [9_000], host_extra_ns=2_000_000)
    timed, _ = run([candidate], [ScriptedSession(honest, [12_000])], max_pairs=4)
    assert timed.measurement is timed.baseline is timed.failure is None
    assert timed.reason is not None and words in timed.reason and "again" in timed.reason


def test_every_timed_call_has_inputs_of_its_own_at_addresses_of_their_own():
    seen: list[int] = []

    def watching(x, w, table, alpha):
        seen.append(hash(x.numpy().tobytes()))
        return honest(x, w, table, alpha)

    candidate = ScriptedSession(watching, [9_000])
    run([candidate])
    cold = [r for r in candidate.requests if r.time == "cold"]
    places = {tuple(a.offset for a in r.arguments if isinstance(a, wire.TensorRef)) for r in cold}
    assert len(places) == len(cold)
    assert len(set(seen)) >= len(cold)


@pytest.mark.parametrize(
    ("race", "usual", "products"), [("", True, 1), ("one", True, 0), ("one", False, 1)]
)
def test_only_in_a_race_products_are_spared_while_the_clock_is_usual(
    preheated, race, usual, products
):
    clock = ScriptedClock(usual)
    run(
        [ScriptedSession(honest, [9_000])],
        context=ScriptedContext(H200, own_clock=clock),
        race=race,
    )
    assert len(preheated) == products
    assert clock.waits == 1, "the power of products lowers it"


@pytest.mark.parametrize("wrong", [False, True])
def test_no_process_makes_its_context_while_calls_are_timed(wrong):
    context = ScriptedContext(H200)
    held: list[bool] = []

    def watching(x, w, table, alpha):
        held.append(context.held[-1])
        y, row = honest(x, w, table, alpha)
        return (y + 1 if wrong else y), row

    timed, _ = run([ScriptedSession(watching, [9_000])], context=context)
    assert held and all(held) and (timed.failure is not None) == wrong
    assert context.held == [False, True, False], "they go on whatever happened"


@pytest.mark.parametrize("wrong_at", range(1, 15))
def test_a_wrong_result_in_any_timed_call_is_found(wrong_at):
    calls = []

    def sometimes(x, w, table, alpha):
        calls.append(1)
        y, row = honest(x, w, table, alpha)
        return (y + 1 if len(calls) == wrong_at else y), row

    timed, _ = run([ScriptedSession(sometimes, [9_000])])
    assert timed.status is Status.INCORRECT_NUMERICAL and timed.measurement is None
    assert timed.failure is not None
    assert timed.failure.message.startswith(f"In timed call {wrong_at}:")


def test_a_process_lost_while_it_is_timed_is_the_candidates_failure():
    lost = ProcessLost("crash", "The candidate's process was killed by SIGSEGV.", -11)
    timed, _ = run([ScriptedSession(honest, [9_000], lost_at=(5, lost))])
    assert timed.status is Status.RUNTIME_ERROR and timed.measurement is None


def test_a_baseline_that_is_lost_costs_the_comparison_only():
    lost = ProcessLost("crash", "It died.", -11)
    baseline = ScriptedSession(honest, [12_000], lost_at=(4, lost))
    timed, timing = run([ScriptedSession(honest, [9_000])], [baseline])
    assert timed.failure is None and timed.measurement is not None and timed.baseline is None
    assert baseline.closed
    note = next(f for f in timing.findings if f.claim == "baseline")
    assert note.severity is Severity.NOTE


def test_a_wrong_baseline_is_noted_and_not_held_against_the_candidate():
    baseline = ScriptedSession(lambda *a: (honest(*a)[0] + 1, honest(*a)[1]), [12_000])
    timed, timing = run([ScriptedSession(honest, [9_000])], [baseline])
    assert timed.failure is None and timed.measurement is not None
    assert any("baseline is wrong" in f.message for f in timing.findings)


def test_without_a_timer_there_is_a_reason_and_no_latency():
    timed, _ = run([ScriptedSession(honest, None)])
    assert timed.failure is None and timed.measurement is None
    assert timed.reason is not None and "no timer" in timed.reason


def test_times_are_read_once_for_a_turn_and_each_belongs_to_its_call():
    spans = [*range(10_001, 10_041)]
    candidate = ScriptedSession(honest, spans)
    timed, _ = run([candidate], pairs_per_block=5, max_pairs=10, warm_calls=0)
    assert timed.measurement is not None
    assert timed.measurement.cold_ns == spans[:10]
    assert candidate.collects == 4  # turns of 5, 2, 2 and 1


def test_a_call_whose_times_are_not_told_has_no_latency():
    class Forgetful(ScriptedSession):
        def deferred(self, times):
            return times[1:]

    timed, _ = run([Forgetful(honest, [9_000])])
    assert timed.failure is None and timed.measurement is None
    assert timed.reason is not None and "no timer" in timed.reason


def test_times_of_calls_that_were_never_made_are_not_looked_at():
    class Boastful(ScriptedSession):
        def deferred(self, times):
            forged = [
                t.model_copy(update={"number": t.number + 1_000, "span_ns": 1}) for t in times
            ]
            return [*forged, *times]

    timed, _ = run([Boastful(honest, [9_000])])
    assert timed.measurement is not None and set(timed.measurement.cold_ns) == {9_000}


@pytest.mark.parametrize("kind", ["crash", "protocol"])
def test_a_process_lost_while_its_times_are_read_is_the_candidates_failure(kind):
    class Lostling(ScriptedSession):
        def ask(self, message, fds=()):
            super().ask(message, fds)
            if isinstance(message, wire.Collect):
                self._answer = ProcessLost(kind, "It is gone.", -11)

    timed, timing = run([Lostling(honest, [9_000])])
    assert timed.failure is not None and timed.measurement is None
    assert timed.calls > 0
    assert (kind == "protocol") == (integrity.TURN in {f.claim for f in timing.findings})


def test_a_baseline_lost_while_its_times_are_read_costs_the_comparison_only():
    class Lostling(ScriptedSession):
        def ask(self, message, fds=()):
            super().ask(message, fds)
            if isinstance(message, wire.Collect):
                self._answer = ProcessLost("crash", "It is gone.", -11)

    baseline = Lostling(honest, [12_000])
    timed, _ = run([ScriptedSession(honest, [9_000])], [baseline])
    assert timed.failure is None and timed.measurement is not None and timed.baseline is None
    assert baseline.closed


def test_a_time_below_what_the_device_can_do_is_a_violation():
    timed, timing = run([ScriptedSession(honest, [1])])
    assert timed.status is Status.INTEGRITY_VIOLATION and timed.measurement is None
    assert timed.failure is not None and "faster_than_physics" in timed.failure.message
    assert any(f.claim == "not_faster_than_physics" for f in timing.findings)


def test_a_claim_of_more_time_than_passed_is_a_violation():
    timed, _ = run([ScriptedSession(honest, [10**12])])
    assert timed.status is Status.INTEGRITY_VIOLATION


def test_sampling_stops_when_the_interval_is_narrow_enough():
    timed, _ = run([ScriptedSession(honest, [9_000])], max_pairs=400, half_width=0.01)
    assert timed.measurement is not None and 8 <= len(timed.measurement.cold_ns) < 40


def test_sampling_goes_on_to_its_bound_while_the_interval_is_wide():
    spread = random.Random(3)
    spans = [spread.randint(8_000, 30_000) for _ in range(200)]
    timed, _ = run([ScriptedSession(honest, spans)], max_pairs=50, half_width=0.001)
    assert timed.measurement is not None and len(timed.measurement.cold_ns) == 50


def test_after_the_deadline_nothing_is_timed_and_it_says_so():
    timed, _ = run([ScriptedSession(honest, [9_000])], deadline_s=-1.0)
    assert timed.measurement is None and timed.reason is not None and "budget" in timed.reason


def test_a_cancelled_timing_ends():
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(TrialCancelledError):
        run([ScriptedSession(honest, [9_000])], cancellation=cancellation)


def test_a_pool_of_large_inputs_is_a_small_one(monkeypatch):
    monkeypatch.setattr(timing_module, "CHEAP_INPUTS_S", -1.0)
    monkeypatch.setattr(timing_module, "POOL_SECONDS", 1e9)
    monkeypatch.setattr(timing_module, "POOL_BYTES", 1)
    _, timing = run([ScriptedSession(honest, [9_000])])
    assert "pool of 4" in timing.fresh_values


def test_slow_inputs_come_from_a_pool_and_never_the_same_twice_in_a_row(monkeypatch):
    monkeypatch.setattr(timing_module, "CHEAP_INPUTS_S", -1.0)
    monkeypatch.setattr(timing_module, "POOL_SECONDS", 0.0)
    seen: list[int] = []

    def watching(x, w, table, alpha):
        seen.append(hash(x.numpy().tobytes()))
        return honest(x, w, table, alpha)

    candidate = ScriptedSession(watching, [9_000])
    timed, timing = run([candidate])
    cold = [h for h, r in zip(seen, candidate.requests, strict=True) if r.time == "cold"]
    assert timed.measurement is not None and "pool of 4" in timing.fresh_values
    assert len(set(cold)) <= 4
    assert all(a != b for a, b in zip(cold, cold[1:], strict=False))
