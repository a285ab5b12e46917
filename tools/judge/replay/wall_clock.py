"""What a runner's batches take by the judge's own clock: the witness of a plan, and the yardstick.

The yardstick is a kernel of the runner's own that takes a fixed number of cycles. Its spans in two
runners must be alike, or times that were measured in them cannot be compared. It reads no memory,
so that batches of it need no flush; behind flushes, as calls are timed, what the judge's clock sees
of it beyond its span is what surrounds every call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from ...messages.runner import (
    MOST_CALLS,
    Batch,
    BatchDone,
    Program,
    Replay,
    ReplayCall,
    Rotate,
    Rotated,
    Sustain,
    Sustained,
)
from ..processes.runner_process import RunnerProcess
from .rotation import NotRotatedError, Rotation, rotated_calls
from .session import ReplaySession, alternating
from .witness import Witness, standard_error, t_quantile, witness_of

CALLS = 200
BATCHES = 6
TRIES = 3
LARGE_ERROR = 0.5
"""Of the mean: with that, half of what a call takes could be told. On an H200 one batch of six that
the machine disturbed made an error of six times the mean."""
YARDSTICK_SPANS = 20
YARDSTICK_CALLS = 20
"""In a batch of them back to back; in a longer one `LONGER_PASSES` times as many."""
MOST_GRAPH_NODES = 4_000
ALIKE_RATIO = 1.03
SUSTAINED_RATIO = 1.03
LONGER_PASSES = 4
SUSTAINED_BATCHES = 4
ALIKE_SLACK_NS = 100.0
"""Spans are multiples of the device timer's step, 32 ns or more."""


@dataclass(frozen=True)
class WitnessBatches:
    """The batches that a bound is taken from.

    Args:
        calls: in each batch, rounded to whole graphs.
        count: of batches of each kind, at least three.
        pause_s: before each, in which the device rests.
    """

    calls: int = CALLS
    count: int = BATCHES
    pause_s: float = 0.0


@dataclass(frozen=True)
class YardstickTimes:
    """The yardstick in one runner.

    Args:
        spans_ns: by activity records; None where there was none.
        wall: the same kernel by the judge's clock, back to back.
    """

    spans_ns: tuple[int | None, ...]
    wall: Witness

    @property
    def known_ns(self) -> list[int]:
        """The spans that were recorded."""
        return [span for span in self.spans_ns if span]


@dataclass(frozen=True)
class Surplus:
    """By how much a call is longer by the judge's clock than its span, and how uncertain it is."""

    mean_ns: float = 0.0
    error_ns: float = 0.0


class RotatedCall:
    """A session's plan, called back to back on copies of its tensors.

    While it is used the call's own tensors hold nothing of use.

    Args:
        session: its plan is loaded.
        rotation: where the copies lie.

    Raises:
        RunnerLostError: when the runner fails.
        NotRotatedError: when the calls cannot be made so.
    """

    def __init__(self, session: ReplaySession, rotation: Rotation) -> None:
        self._session, self._rotation = session, rotation
        self.copies = len(rotation.offsets)
        request = Rotate(
            nbytes=rotation.nbytes,
            begin=rotation.begin,
            end=rotation.end,
            offsets=list(rotation.offsets),
        )
        if not session.runner.ask(request, Rotated, session.timeout_s).changed:
            raise NotRotatedError("no address of its tensors stands in the plan's launches")

    def once(self, kept: Sequence[int], poison: Sequence[int]) -> float:
        """Calls the plan on each copy once; returns the time of all by events, in ns a call.

        The outputs lie in the staging memory then, and are the caller's to check.

        Args:
            kept: copies whose outputs are copied out, in the order of their places in the staging
                memory, where the values of their inputs lie; best chosen by chance.
            poison: for each of these, the byte that its outputs are filled with.
        """
        session = self._session
        calls = rotated_calls(
            session.tensors, session.staging, session.staging_address, self._rotation, kept, poison
        )
        request = Sustain(calls=calls, scratch_byte=poison[0])
        passed = session.runner.ask(request, Sustained, session.timeout_s)
        if passed.events_ns is None:
            raise NotRotatedError(passed.note or "the pass over the copies has no time")
        return passed.events_ns / self.copies

    def bound(self) -> Witness:
        """What a call takes by the judge's clock, over more passes."""
        session = self._session
        return back_to_back(
            session.runner, session.timeout_s, "copies", self.copies, SUSTAINED_BATCHES
        )


def sustained_doubt(call_ns: float, bound: Witness) -> str:
    """Why a sustained time is not to be believed, in words; empty where it is."""
    if call_ns * SUSTAINED_RATIO >= bound.least_ns:
        return ""
    return (
        f"events say {call_ns:.0f} ns a call; by the judge's clock it takes at least "
        f"{bound.least_ns:.0f}"
    )


def yardstick_in(runner: RunnerProcess, timeout_s: float) -> YardstickTimes:
    """Times the yardstick in a runner by both clocks; no plan needs to be loaded.

    Raises:
        RunnerLostError: when the runner fails.
    """
    request = Replay(calls=[ReplayCall()] * YARDSTICK_SPANS, program="yardstick")
    replayed = runner.replayed(request, timeout_s)
    return YardstickTimes(
        tuple(times.span_ns for times in replayed.times),
        back_to_back(runner, timeout_s, "yardstick", YARDSTICK_CALLS, BATCHES),
    )


def surplus_in(
    runner: RunnerProcess, timeout_s: float, yardstick: YardstickTimes, calls: int = CALLS
) -> Surplus:
    """What surrounds a call behind a flush in a runner, by the yardstick's known span.

    Args:
        yardstick: of the same runner.
        calls: in each batch.

    Raises:
        RunnerLostError: when the runner fails.
    """
    if not (known := yardstick.known_ns):
        return Surplus()
    batches = WitnessBatches(calls)
    wall = witness_in(runner, timeout_s, nodes=1, program="yardstick", batches=batches)
    error = wall.error_ns
    if len(known) >= 3:
        error += t_quantile(len(known) - 1) * standard_error(known)
    return Surplus(max(0.0, wall.mean_ns - fmean(known)), error)


def back_to_back(
    runner: RunnerProcess, timeout_s: float, program: Program, calls: int, batches: int
) -> Witness:
    """What a call takes by the judge's clock between calls, from longer batches and shorter ones.

    Raises:
        RunnerLostError: when the runner fails.
    """

    def wall(longer: bool) -> int:
        whole = calls * (LONGER_PASSES if longer else 1)
        request = Batch(calls=whole, flush=False, with_call=True, program=program, in_graph=calls)
        return runner.timed_ask(request, BatchDone, timeout_s)[1]

    wall(False)  # the first captures its graph
    return _least_scattered(wall, batches, calls * (LONGER_PASSES - 1))


def witness_in(
    runner: RunnerProcess,
    timeout_s: float,
    *,
    nodes: int,
    program: Program = "plan",
    surplus: Surplus = Surplus(),
    batches: WitnessBatches = WitnessBatches(),
) -> Witness:
    """The bound of a call's mean span by batches in a runner.

    Args:
        runner: the plan is loaded, and a call's inputs lie in place since its last replay.
        timeout_s: for each batch.
        nodes: that one call enqueues.
        program: what is called.
        surplus: of the same runner.
        batches: how many, and of how many calls.

    Raises:
        RunnerLostError: when the runner fails.
    """
    each = graph_calls(nodes, batches.calls)
    whole = max(1, batches.calls // each) * each
    note = ""

    def wall(with_call: bool) -> int:
        nonlocal note
        request = Batch(calls=whole, with_call=with_call, program=program, in_graph=each)
        time.sleep(batches.pause_s)
        done, spent = runner.timed_ask(request, BatchDone, timeout_s)
        note = note or done.note
        return spent

    for with_call in (True, False):
        wall(with_call)  # the first of each captures its graph
    return replace(_least_scattered(wall, batches.count, whole, surplus), note=note)


def _least_scattered(
    wall: Callable[[bool], int], count: int, calls: int, surplus: Surplus = Surplus()
) -> Witness:
    """The bound by batches, which are all made again while they scatter too much to bound anything.

    Something else on the machine may lengthen one. It is not left out: device code could have its
    own slow batches left out so. Who wants a large error gets more batches and the least error.
    """
    found: list[Witness] = []
    while len(found) < TRIES:
        found.append(
            witness_of(
                *alternating(wall, count),
                calls,
                surplus_ns=surplus.mean_ns,
                surplus_error_ns=surplus.error_ns,
            )
        )
        if found[-1].error_ns - surplus.error_ns <= LARGE_ERROR * found[-1].mean_ns:
            return found[-1]
    return min(found, key=lambda one: one.error_ns)


def graph_calls(nodes: int, calls: int) -> int:
    """How many calls, each behind a flush, are put into one graph."""
    return max(1, min(calls, MOST_CALLS, MOST_GRAPH_NODES // (nodes + 1)))


def unlike(mine: YardstickTimes, theirs: YardstickTimes) -> str:
    """How the yardstick differs between two runners, in words; empty where it does not."""
    if not mine.known_ns or not theirs.known_ns:
        return "the yardstick left no activity records in a runner"
    for words, a, b, slack in (
        ("activity records", median(mine.known_ns), median(theirs.known_ns), ALIKE_SLACK_NS),
        (
            "the judge's clock",
            mine.wall.mean_ns,
            theirs.wall.mean_ns,
            ALIKE_SLACK_NS + mine.wall.error_ns + theirs.wall.error_ns,
        ),
    ):
        if max(a, b) > ALIKE_RATIO * min(a, b) + slack:
            return f"by {words} the yardstick takes {a:.0f} ns in one runner, {b:.0f} in the other"
    return ""
