"""What calls take in their places predicts a gain, whatever else the process was slowed by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kernel_harness.server.cli.model_level.verification import comparison_text
from kernel_harness.tools.model_level.verification.gains import compare_runs
from kernel_harness.tools.model_level.verification.predictions import predict
from kernel_harness.tools.model_level.verification.verified_runs import (
    AppliedTarget,
    CallSpans,
    OutputDrift,
    TimedCall,
    TimedRun,
    TimedTurn,
    VerifiedRuns,
)

NO_DRIFT = OutputDrift(0.0, 0.0, 1.0, "float32", 4)
STEP_US = 1000.0


def call(original_us: float, kernel_us: float, turns: int = 5, *, slower=1.0) -> TimedCall:
    """Two calls a step that take this long in their places, and half of that repeated."""
    alone = [tuple((us / 2, us / 2) for _ in range(15)) for us in (original_us, kernel_us)]
    placed = [
        tuple((at := us * slower * (1 + n % 3 / 1000), at) for n in range(turns))
        for us in (original_us, kernel_us)
    ]
    return TimedCall("float32[4]", 2.0, CallSpans(*alone), NO_DRIFT, CallSpans(*placed))


OVERLAPPING = -1.0
"""What a step takes besides its calls where these are on several streams or threads: unknown."""


def runs(
    *calls: TimedCall,
    turns: int = 5,
    slower: float = 1.0,
    host: float = 1.0,
    rest_us: float = OVERLAPPING,
) -> VerifiedRuns:
    """A program of steps of a millisecond, and a process that is so many times slower."""
    steps = (int(STEP_US * 1e3),) * 20
    run = TimedRun(steps, tuple(int(ns * host) for ns in steps), 0)
    target = AppliedTarget("layers.f", "f_n8", {}, calls)
    taken = tuple(TimedTurn(3 * n + 2, int(STEP_US * 1e3 * slower), rest_us) for n in range(turns))
    return VerifiedRuns(None, (run,), (run,), NO_DRIFT, None, (target,), taken)


def test_calls_in_their_places_predict_and_repeated_ones_are_told_beside():
    found = predict(runs(call(400, 25)), STEP_US)
    assert found.turns == 5 and found.interval[0] <= found.gain <= found.interval[1]
    assert found.gain == pytest.approx(4.0, rel=0.01)
    assert found.repeated == pytest.approx(1000 / 625)
    (target,) = found.targets
    assert target.original_us == pytest.approx(800, rel=0.01)
    assert target.saved_us.low <= target.saved_us.median <= target.saved_us.high


def test_a_process_that_is_slower_as_a_whole_predicts_no_more():
    """Five percent of a step would be a quarter of this gain."""
    expected = predict(runs(call(400, 25)), STEP_US)
    slower = predict(runs(call(400, 25, slower=1.05), slower=1.05), STEP_US)
    assert slower.gain == pytest.approx(expected.gain)
    assert predict(runs(call(400, 25, slower=1.05)), STEP_US).gain > 1.1 * expected.gain


def test_calls_that_save_more_by_themselves_than_a_step_takes_predict_nothing():
    """As on a machine that others load; 1000x was told."""
    words = comparison_text(compare_runs(runs(call(2400, 25))))
    assert "by themselves they save more than a step takes, which predicts nothing." in words
    words = comparison_text(compare_runs(runs(call(400, 25))))
    assert "by themselves they predict 1.6x." in words


def test_too_few_turns_leave_the_repeated_calls():
    found = predict(runs(call(400, 25, 2), turns=2), STEP_US)
    assert found.turns == 0 and found.gain == found.repeated == pytest.approx(1000 / 625)


def test_shapes_of_one_kind_of_steps_are_told_by_repeated_calls():
    both = call(400, 25)
    one_sided = replace(both, placed=replace(both.placed, kernel=(None,) * 5))
    assert predict(runs(one_sided), STEP_US).gain == pytest.approx(1000 / 625)
    gap = replace(both, placed=replace(both.placed, kernel=(None, *both.placed.kernel[1:])))
    assert predict(runs(gap), STEP_US).gain == pytest.approx(4.0, rel=0.01)


def test_a_step_is_not_shorter_than_what_the_host_needs():
    bare = call(400, 25)
    host_of = [
        tuple((10.0, us[1]) for us in row if us)
        for row in (bare.placed.original, bare.placed.kernel)
    ]
    launched = replace(bare, placed=CallSpans(*host_of))
    found = predict(runs(launched, host=0.5), STEP_US)
    assert not found.host_bound and found.gain == pytest.approx(2.0)
    assert found.interval == (pytest.approx(found.repeated), found.gain)


def test_without_calls_nothing_is_gained():
    assert predict(runs(), STEP_US).gain == 1.0
    assert predict(runs(turns=0), STEP_US).gain == 1.0


def test_a_program_that_makes_fewer_steps_in_some_runs_is_predicted_by_what_there_is():
    none = TimedRun((), (), 0)
    without = replace(runs(call(400, 25)), before=(none,), after=(none,))
    found = predict(without, 0.0)
    assert found.turns == 0 and found.gain == 1.0
    unpaired = predict(replace(runs(call(400, 25)), after=(none,)), 0.0)
    assert unpaired.turns == 5 and unpaired.gain == 1.0
    short = runs(call(400, 25))
    two = TimedRun(short.before[0].step_ns[:2], short.before[0].host_ns[:2], 0)
    assert predict(replace(short, before=(two,)), STEP_US).gain == pytest.approx(4.0, rel=0.01)


def test_slower_kernels_are_predicted_to_slow_the_program():
    found = predict(runs(call(100, 350)), STEP_US)
    assert found.gain == pytest.approx(1 / 1.5, rel=0.01)
    assert found.targets[0].saved_us.high < 0


def uneven(turns: int) -> list[float]:
    """How fast a process is in one step after another: within three percent, in no order."""
    return [1 + (7 * n % 13 - 6) / 200 for n in range(3 * turns)]


def test_steps_of_uneven_speed_tell_a_large_gain_narrowly_where_the_rest_is_known():
    """A part of six sevenths: what it saves, taken from another step's time, tells little."""
    turns, speeds = 7, uneven(7)
    original, kernel, rest = (
        [us * speed for speed in speeds[place::3]]
        for us, place in ((430.0, 1), (10.0, 0), (140.0, 1))
    )
    placed = CallSpans(tuple((us, us) for us in original), tuple((us, us) for us in kernel))
    bare = runs(replace(call(430, 10, turns), placed=placed), turns=turns)
    taken = tuple(
        TimedTurn(3 * n + 2, int(STEP_US * 1e3 * speed), us)
        for n, (speed, us) in enumerate(zip(speeds[2::3], rest, strict=True))
    )
    found = predict(replace(bare, turns=taken), STEP_US)
    expected = STEP_US / (140 + 2 * 10)
    assert found.gain == pytest.approx(expected, rel=0.05)
    assert found.interval[1] / found.interval[0] < 1.08
    assert found.interval[0] < expected < found.interval[1]
    overlapping = tuple(replace(turn, rest_us=OVERLAPPING) for turn in taken)
    wide = predict(replace(bare, turns=overlapping), STEP_US).interval
    assert wide[1] / wide[0] > 1.2


def test_where_calls_overlap_what_they_save_is_taken_from_a_step():
    known = runs(call(400, 25), rest_us=250.0)
    assert predict(known, STEP_US).gain == pytest.approx(1000 / 300, rel=0.01)
    first, *others = known.turns
    overlapping = replace(known, turns=(*others, replace(first, rest_us=OVERLAPPING)))
    found = predict(overlapping, STEP_US)
    assert found.gain == predict(runs(call(400, 25)), STEP_US).gain == pytest.approx(4.0, rel=0.01)


def test_both_ways_of_timing_calls_are_in_the_interval_where_steps_wait_for_the_device():
    """Each is blind to something, and neither knows of what."""
    known = runs(call(400, 25), host=0.05, rest_us=200.0)
    found = predict(known, STEP_US)
    assert found.gain == pytest.approx(4.0, rel=0.01)
    assert found.interval[0] == pytest.approx(found.repeated) == pytest.approx(1.6)
    assert found.gain <= found.interval[1] < 4.1
    for_the_host = predict(replace(known, before=runs(host=1.0).before), STEP_US)
    assert for_the_host.host_bound and for_the_host.interval[0] > 3.9


def test_processes_that_differ_make_the_interval_wider():
    known = runs(call(400, 25), rest_us=200.0)
    (run,) = known.before
    others = tuple(
        replace(run, step_ns=tuple(int(ns * speed) for ns in run.step_ns))
        for speed in (0.99, 1.0, 1.01)
    )
    narrow = predict(replace(known, before=(run, run, run)), STEP_US)
    wide = predict(replace(known, before=others), STEP_US)
    assert wide.gain == pytest.approx(narrow.gain)
    # Of three runs that are a hundredth off: a hundredth on two degrees of freedom, twice.
    assert wide.interval[0] == pytest.approx(narrow.interval[0] / 1.02, rel=1e-3)
    assert wide.interval[1] == pytest.approx(narrow.interval[1] * 1.02, rel=1e-3)
