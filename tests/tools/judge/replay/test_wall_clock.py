"""Batches of a runner by the judge's clock; the runner is a fake with a clock of its own."""

from collections.abc import Collection
from typing import Any, cast

import pytest

from kernel_harness.tools.judge.processes.runner_process import RunnerProcess
from kernel_harness.tools.judge.replay import wall_clock
from kernel_harness.tools.judge.replay.wall_clock import (
    BATCHES,
    MOST_GRAPH_NODES,
    TRIES,
    YARDSTICK_SPANS,
    Surplus,
    WitnessBatches,
    YardstickTimes,
    graph_calls,
    surplus_in,
    unlike,
    witness_in,
    yardstick_in,
)
from kernel_harness.tools.judge.replay.witness import Witness, contradicts
from kernel_harness.tools.messages.runner import Batch, BatchDone, Replay, Replayed, ReplayTimes

FLUSH, GAP, YARDSTICK = 35_000, 1_200, 10_000
CAPTURE = 5_000_000
CALLS = 20
FEW = WitnessBatches(CALLS)


DISTURBED = 5_000_000
"""As on an H200: of six batches of twenty calls of 7 us each, one made an error of 46."""


class Runner:
    """A runner in which everything takes the same time, but for the first batch of a graph.

    Args:
        disturbed: places among all batches of those that something else on the machine lengthens.
    """

    def __init__(
        self, span: int, told: int = YARDSTICK, note: str = "", disturbed: Collection[int] = ()
    ) -> None:
        self.span, self.told, self.note, self.disturbed = span, told, note, disturbed
        self.asked: list[Batch] = []

    def timed_ask(self, request: Batch, *_: Any) -> tuple[BatchDone, int]:
        first = graph_of(request) not in map(graph_of, self.asked)
        self.asked.append(request)
        each = YARDSTICK if request.program == "yardstick" else self.span
        spent = request.calls * (request.flush * FLUSH + request.with_call * (each + GAP))
        spent += DISTURBED * (len(self.asked) - 1 in self.disturbed)
        return BatchDone(enqueue_ns=1, note=self.note), spent + first * CAPTURE

    def replayed(self, request: Replay, *_: Any) -> Replayed:
        return Replayed(times=[ReplayTimes(span_ns=self.told)] * len(request.calls))


def graph_of(request: Batch) -> tuple[object, ...]:
    return request.program, request.flush, request.with_call, request.in_graph


def of(runner: Runner) -> RunnerProcess:
    return cast(RunnerProcess, runner)


@pytest.mark.parametrize("span", [3_000, 50_000, 2_000_000])
def test_the_bound_is_the_span_without_what_surrounds_it(span):
    runner = Runner(span)
    yardstick = yardstick_in(of(runner), 1.0)
    assert len(yardstick.spans_ns) == YARDSTICK_SPANS
    assert yardstick.wall.mean_ns == pytest.approx(YARDSTICK + GAP)
    assert not any(batch.flush for batch in runner.asked), "which would take most of the time"
    surplus = surplus_in(of(runner), 1.0, yardstick)
    assert surplus.mean_ns == pytest.approx(GAP)
    witness = witness_in(of(runner), 1.0, nodes=3, surplus=surplus)
    assert witness.mean_ns == pytest.approx(span + GAP)
    assert not contradicts(witness, span)
    assert contradicts(witness, 0.95 * span - 150)


ALL = 2 + 2 * BATCHES
"""Two batches capture graphs."""


@pytest.mark.parametrize("disturbed", [{5}, {6}, {2, 9}], ids=["one", "one_of_calls", "two"])
def test_batches_that_bound_nothing_for_one_was_disturbed_are_made_again(disturbed):
    runner = Runner(5_000, disturbed=disturbed)
    witness = witness_in(of(runner), 1.0, nodes=1, surplus=Surplus(GAP), batches=FEW)
    assert len(runner.asked) == ALL + 2 * BATCHES
    assert witness.batches == BATCHES and witness.error_ns < 0.1 * witness.mean_ns
    assert not contradicts(witness, 5_000) and contradicts(witness, 2_500)


def test_a_bound_of_long_calls_is_one_though_a_batch_was_disturbed():
    runner = Runner(1_000_000, disturbed={5})
    witness = witness_in(of(runner), 1.0, nodes=1, surplus=Surplus(GAP), batches=FEW)
    assert len(runner.asked) == ALL
    assert not contradicts(witness, 1_000_000) and contradicts(witness, 500_000)


def test_a_machine_that_disturbs_all_batches_refuses_nobody():
    """And a batch is never left out: which are slow is for the calls to choose."""
    runner = Runner(5_000, disturbed=range(3, 100, 5))
    witness = witness_in(of(runner), 1.0, nodes=1, surplus=Surplus(GAP), batches=FEW)
    assert len(runner.asked) == 2 + TRIES * 2 * BATCHES
    assert not contradicts(witness, 5_000)


def test_the_yardstick_is_timed_again_where_a_batch_of_it_was_disturbed():
    runner = Runner(5_000, disturbed={4})
    yardstick = yardstick_in(of(runner), 1.0)
    assert yardstick.wall.mean_ns == pytest.approx(YARDSTICK + GAP)
    runner.disturbed = {len(runner.asked) + 4}
    assert surplus_in(of(runner), 1.0, yardstick, CALLS).error_ns < GAP


def test_without_a_yardstick_what_surrounds_a_call_counts_as_its_own():
    runner = Runner(50_000)
    assert contradicts(witness_in(of(runner), 1.0, nodes=1), 50_000)


def test_a_yardstick_without_records_tells_nothing_of_what_surrounds_a_call():
    assert surplus_in(of(Runner(9_000)), 1.0, times(None, 11_000.0)).mean_ns == 0.0


def test_why_there_is_no_graph_is_in_the_witness():
    assert witness_in(of(Runner(9_000, note="not captured")), 1.0, nodes=1).note == "not captured"


@pytest.mark.parametrize("nodes", [1, 30, 2_000, 9_000])
@pytest.mark.parametrize("calls", [1, 7, 200, 5_000])
def test_batches_are_whole_graphs_of_few_enough_nodes(nodes, calls):
    runner = Runner(9_000)
    witness = witness_in(of(runner), 1.0, nodes=nodes, batches=WitnessBatches(calls))
    each = graph_calls(nodes, calls)
    assert each == 1 or each * (nodes + 1) <= MOST_GRAPH_NODES
    assert {b.in_graph for b in runner.asked} == {each}
    assert 1 <= witness.calls <= calls and witness.calls % each == 0


def test_the_device_rests_before_each_batch_that_wants_it(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(wall_clock.time, "sleep", slept.append)
    runner = Runner(1_500_000)
    witness = witness_in(of(runner), 1.0, nodes=3, batches=WitnessBatches(1, 4, 0.01))
    assert witness.calls == 1 and witness.batches == 4
    assert slept == [0.01] * len(runner.asked) and len(slept) == 10
    assert witness.mean_ns == pytest.approx(1_500_000 + GAP)


def times(span: int | None, wall: float, error: float = 0.0) -> YardstickTimes:
    return YardstickTimes((span,) * 5, Witness(wall, error, 0.0, 200))


MINE = times(10_000, 11_000.0)


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (times(10_032, 11_100.0), ""),
        (times(11_000, 11_000.0), "activity records"),
        (times(9_000, 11_000.0), "activity records"),
        (times(10_000, 13_000.0), "judge's clock"),
        (times(10_000, 13_000.0, error=2_000.0), ""),
        (times(None, 11_000.0), "no activity records"),
    ],
)
def test_runners_are_alike_where_both_clocks_say_so(theirs, words):
    for found in (unlike(MINE, theirs), unlike(theirs, MINE)):
        assert words in found if words else not found


def test_a_runner_whose_records_shorten_everything_is_unlike():
    honest, liar = Runner(50_000), Runner(50_000, told=YARDSTICK // 2)
    mine, theirs = (yardstick_in(of(r), 1.0) for r in (honest, liar))
    assert unlike(mine, theirs)
