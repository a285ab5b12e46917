"""Speed on held-out sizes: processes of its own, an aggregate, and no word of a single size."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.calls.judged_call import JudgedCall
from kernel_harness.tools.judge.checks import integrity
from kernel_harness.tools.judge.machine.clock_rate import OwnClock
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.processes.progress import Cancellation, Reporter
from kernel_harness.tools.judge.timing.held_out_timing import HeldOutTiming, aggregate, as_claimed
from kernel_harness.tools.judge.timing.paired_timing import PairedTiming
from kernel_harness.tools.judge.timing.timed_calls import Timed
from kernel_harness.tools.judge.trial_parts import TrialParts
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.schema.drawn_inputs import HeldOutResult
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Executor,
    Failure,
    Finding,
    Severity,
    Stage,
    Status,
)
from kernel_harness.tools.schema.measurement import Measurement, TimeSource

from ....judging import AFFINE, make_plan, make_solution, read_definition
from ..scripted import ScriptedSession

CPU = torch.device("cpu")
CASES = [
    Case(f"held-out-{m}", {"m": m}, scalars={"alpha": 0.5}, held_out=True, draw="timed")
    for m in (5, 33)
]
H200 = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, sm_count=132)


def honest(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return y, y.sum(dim=-1)


def wrong_on_many_rows(x, w, table, alpha):
    y, row = honest(x, w, table, alpha)
    return (y + 1 if len(x) > 10 else y), row


@pytest.fixture(autouse=True)
def cold_device(monkeypatch):
    monkeypatch.setattr(PairedTiming, "_preheat", lambda self: None)


class Building(ScriptedSession):
    """A candidate that answers build and map in the order in which they were asked."""

    def answer(self, kind: Any, timeout_s: float) -> Any:
        if kind in (wire.Built, wire.Mapped):
            self._answer = kind()
        return super().answer(kind, timeout_s)


class Processes:
    """Gives scripted processes and remembers what ends."""

    def __init__(self) -> None:
        self.timing: Any = None
        self.asked: list[bool | None] = []
        self.endings: list[Any] = []

    def spawn_for_timing(self, baseline: bool):
        self.asked.append(baseline)
        request = wire.BuildRequest.of(
            make_solution("def run(): pass", definition="affine_n64").model_dump(mode="json"),
            content_hash="c",
            argument_count=4,
            output_count=2,
            cuda_arch=None,
        )
        return Building(honest, [12_000]), request

    def spawn_to_record(self, baseline: bool):
        raise AssertionError("nothing can be sealed here")

    def end_with(self, *endings: Any) -> None:
        self.endings += endings


def run(
    tmp_path: Path,
    compute=honest,
    *,
    baseline: bool = True,
    cases=CASES,
    claim: str = "no runner here",
):
    solution = make_solution("def run(): pass", definition="affine_n64")
    checks = wire_judge.Checks(pairs_per_block=4, timed_held_out=2)
    plan = make_plan(solution, baseline=solution if baseline else None, checks=checks)
    operator = OperatorAdapter(read_definition(AFFINE), AFFINE)
    candidate = ScriptedSession(compute, [8_000])
    judged_call = JudgedCall(
        candidate, operator.definition, CPU, random.Random(1), by_destination=True
    )
    assert judged_call.map(CASES) is None
    checking: Any = SimpleNamespace(
        held_out=HeldOutResult(called=9, uniform=4),
        held_out_to_time=cases,
        held_out_call=judged_call,
        findings=[],
    )
    context: Any = SimpleNamespace(
        info=H200,
        device=CPU,
        memory_mhz=None,
        interpreted=False,
        cache_dir=tmp_path,
        contexts_held=contextlib.nullcontext,
        own_clock=OwnClock(CPU),
    )
    processes = Processes()
    parts = TrialParts(
        plan,
        context,
        InputGenerator(operator, CPU, SeedBook(), PrefetchedInputs(1 << 20)),
        Reporter(lambda message: None, plan.evaluation_id),
        Cancellation(),
        random.Random(7),
        time.monotonic() + 60,
    )
    processes.timing = HeldOutTiming(parts, processes, claim)
    failed = processes.timing.run(checking, lambda: processes.asked.append(None))
    return failed, checking, processes


def test_the_ratio_over_all_sizes_is_added_to_the_counts(tmp_path):
    failed, checking, processes = run(tmp_path)
    assert failed is None and not checking.findings
    assert checking.held_out == HeldOutResult(
        called=9, uniform=4, timed=2, ratio=1.5, claimed_because="no runner here"
    )
    assert processes.asked[0] is None, "the runners before end first: both need as much memory"
    assert processes.asked[1:] == [True], "the candidate's is the one that checked the cases"
    assert len(processes.endings) == 2


def test_a_size_that_is_wrong_when_timed_fails_and_is_not_shown(tmp_path):
    failed, checking, _ = run(tmp_path, wrong_on_many_rows)
    assert failed is not None and failed.status is Status.INCORRECT_NUMERICAL
    assert failed.failure is not None and failed.failure.held_out
    assert not failed.failure.axes and "33" not in failed.failure.message
    assert checking.held_out == HeldOutResult(called=9, uniform=4)


@pytest.mark.parametrize("nothing", [{"baseline": False}, {"cases": []}])
def test_nothing_is_timed_where_there_is_nothing_to_compare(tmp_path, nothing):
    failed, checking, processes = run(tmp_path, **nothing)
    assert failed is None and not processes.asked
    assert checking.held_out == HeldOutResult(called=9, uniform=4)


def measured(ours: int, theirs: int, **clock: Any) -> Timed:
    def measurement(span: int) -> Measurement:
        return Measurement(timer="cupti", cold_ns=[span, span, 9 * span], **clock)

    return Timed(measurement=measurement(ours), baseline=measurement(theirs))


@pytest.mark.parametrize(
    ("claim", "differs"), [("replay differs: 3 values", True), ("the call waits", False)]
)
def test_a_wrong_replay_of_a_size_that_is_right_when_called_is_noticed(tmp_path, claim, differs):
    failed, _, processes = run(tmp_path, claim=claim)
    assert failed is None and processes.timing.replay_differs is differs


def test_one_wrong_replay_among_right_ones_is_noticed_and_only_violations_are_told(
    tmp_path, monkeypatch
):
    differs = measured(1000, 2000, clock_reason="replay differs: 3 values")
    found = [
        Finding(claim=integrity.PHYSICS, severity=severity, message=f"{severity} on m=33")
        for severity in (Severity.VIOLATION, Severity.WARNING)
    ]
    results = dict(zip("ab", (measured(1000, 2000), differs), strict=True))
    monkeypatch.setattr(PairedTiming, "run", lambda self, *given: results)
    monkeypatch.setattr(PairedTiming, "findings", property(lambda self: found))
    _, checking, processes = run(tmp_path)
    assert processes.timing.replay_differs
    (told,) = checking.findings
    assert told.severity is Severity.VIOLATION and "33" not in told.message


def test_times_beside_a_wrong_replay_of_another_size_are_claimed():
    claimed = as_claimed(measured(1000, 2000, clock=TimeSource.SEALED))
    for one in (claimed.measurement, claimed.baseline):
        assert one is not None and one.clock is TimeSource.CLAIMED
        assert "held-out" in (one.clock_reason or "") and one.cold_ns
    assert as_claimed(Timed(reason="no time")) == Timed(reason="no time")


def test_the_aggregate_is_the_geometric_mean_of_the_medians_ratios():
    speed = aggregate([measured(1000, 4000), measured(2000, 2000), Timed(reason="no time")])
    assert speed is not None
    assert (speed.timed, speed.ratio) == (2, 2.0) and speed.claimed_because


def test_the_aggregate_is_sealed_when_every_time_is():
    sealed, claimed = measured(1000, 2000, clock=TimeSource.SEALED), measured(1000, 2000)
    both = aggregate([sealed, sealed])
    assert both is not None and not both.claimed_because
    ours = Timed(measurement=claimed.measurement, baseline=sealed.baseline)
    theirs = Timed(measurement=sealed.measurement, baseline=claimed.baseline)
    for other in (claimed, ours, theirs):
        mixed = aggregate([sealed, other])
        assert mixed is not None and mixed.claimed_because


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("clocks_disagree: Activity records say 4193 ns", "clocks_disagree"),
        ("baseline: below_witness: The runner tells 4193 ns", "baseline: below_witness"),
        ("parameters of k33 differ from call to call", "parameters of k# differ from call to call"),
        (
            "the call fails in the process that records: m was 33",
            "the call fails in the process that records",
        ),
    ],
)
def test_why_held_out_times_are_claimed_is_told_without_sizes_times_or_foreign_words(reason, told):
    claimed = measured(1000, 2000)
    assert claimed.measurement is not None
    claimed.measurement = claimed.measurement.model_copy(update={"clock_reason": reason})
    speed = aggregate([claimed])
    assert speed is not None and speed.claimed_because == told


def test_there_is_no_aggregate_of_nothing_or_of_a_failure():
    failure = Failure(stage=Stage.TIMING, kind="wrong_values", message="m", remedy="r")
    failed = Timed(Status.INCORRECT_NUMERICAL, failure)
    assert aggregate([]) is None and aggregate([measured(1000, 2000), failed]) is None
