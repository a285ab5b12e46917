"""Calls of a program's functions, repeated by themselves with the original and the kernel.

They find their arguments in caches of their own. On a GPU the device's time is taken with the queue
full, so that the host's is not in it, and the host's with the queue empty.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from ...delayed_device import LONGER, keep_busy, timed_events
from ..verified_runs import CallSpans, Span, TimedCall
from .drift import drift_of, tensors_in
from .placed_calls import NotedCall, PlacedSteps, PlacedTarget, copied
from .step_timing import synchronize

ROUNDS = 15
BATCH_S = 0.002
MOST_CALLS = 64
KEPT = (torch.nn.Module, torch.nn.Parameter)
"""Are a model's own, and not copied."""


@torch.no_grad()
def timed_calls(target: PlacedTarget, steps: PlacedSteps) -> list[TimedCall]:
    """Times the noted calls with the original and the kernel in turn, and adds what is known.

    Args:
        steps: in which they were made.
    """
    both = (target.applied.original, target.applied.function)
    found: list[TimedCall] = []
    for call in target.calls.values():
        if not call.count:
            continue  # made while warming up alone, or raising exceptions
        # Before they are repeated, which may change what they are called with.
        drift = drift_of(*(_left_by(function, call) for function in both))
        found.append(
            TimedCall(
                call.shapes,
                call.count / max(steps.timed_steps, 1),
                _repeated([lambda f=f, c=call: f(*c.args, **c.kwargs) for f in both]),
                drift,
                call.times(len(steps.turns)),
            )
        )
    return found


def _repeated(ways: list[Callable[[], Any]]) -> CallSpans:
    counts = [_calls_in_a_batch(way) for way in ways]
    rounds: list[list[Span]] = [[], []]
    for number in range(ROUNDS):
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            rounds[place].append(_call_us(ways[place], counts[place]))
    return CallSpans(tuple(rounds[0]), tuple(rounds[1]))


def _left_by(function: Callable[..., Any], call: NotedCall) -> list[torch.Tensor]:
    """What a call returns, and what it leaves in its arguments: a program goes on with both."""
    args = tuple(copied(value) for value in call.args)
    kwargs = {name: copied(value) for name, value in call.kwargs.items()}
    returned = function(*args, **kwargs)
    given = [v for v in (*args, *kwargs.values()) if not isinstance(v, KEPT)]
    return [*tensors_in(returned), *tensors_in(given)]


def _calls_in_a_batch(act: Callable[[], Any]) -> int:
    act()
    synchronize()
    begin = time.perf_counter()
    act()
    synchronize()
    return max(1, min(MOST_CALLS, int(BATCH_S / max(time.perf_counter() - begin, 1e-7))))


def _call_us(act: Callable[[], Any], calls: int) -> Span:
    """Microseconds of one call of many: of the host and of the device."""
    synchronize()
    begin = time.perf_counter()
    for _ in range(calls):
        act()
    host_s = time.perf_counter() - begin
    if not torch.cuda.is_initialized():
        return host_s / calls * 1e6, host_s / calls * 1e6
    torch.cuda.synchronize()
    started, ended = timed_events()
    keep_busy(host_s * LONGER)
    started.record()
    for _ in range(calls):
        act()
    ended.record()
    torch.cuda.synchronize()
    return host_s / calls * 1e6, started.elapsed_time(ended) / calls * 1e3
