"""Calls of one function as a program makes them, timed with the original and with the kernel.

A kernel is worth in the program what its calls are: so its shapes, arguments and number are taken
from there. On a GPU the device's time is taken with the queue full, so that the host's is not in
it, and the host's with the queue empty; which of them a step gets shorter by, depends on which of
them it waits for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from .drift import drift_of, tensors_in
from .verified_runs import TimedCall

ROUNDS = 15
MOST_SHAPES = 64
MOST_BYTES = 8 << 30
"""Of copies of arguments."""
BATCH_S = 0.002
MOST_CALLS = 64
CYCLES_PER_S = 2_000_000_000
"""More than a GPU makes, so that what is to keep it busy does for long enough."""


@dataclass
class NotedCall:
    """The arguments of the first call with some shapes, and how many there were."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    count: int = 0


@dataclass
class NotedCalls:
    """Notes the calls of a function.

    Args:
        under_way: whether calls that are made now count.
    """

    under_way: Callable[[], bool]
    found: dict[str, NotedCall] = field(default_factory=dict[str, NotedCall])
    left_bytes: int = MOST_BYTES

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Notes a call."""
        if torch.compiler.is_compiling() or not self.under_way():
            return
        given = [value for value in (*args, *kwargs.values()) if not _is_module(value)]
        key = ", ".join(_said(value) for value in given)
        known = self.found.get(key)
        if known is None and len(self.found) < MOST_SHAPES:
            size = sum(tensor.nbytes for tensor in tensors_in(given))
            if size > self.left_bytes:
                return
            self.left_bytes -= size
            copied = tuple(_copied(value) for value in args)
            known = self.found[key] = NotedCall(
                copied, {name: _copied(value) for name, value in kwargs.items()}
            )
        if known is not None:
            known.count += 1


def _is_module(value: Any) -> bool:
    return isinstance(value, torch.nn.Module)


def _said(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    return repr(value)[:40]


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
        return value.detach().clone()
    return value


@torch.no_grad()
def timed_calls(
    noted: NotedCalls, original: Callable[..., Any], kernel: Callable[..., Any], steps: int
) -> list[TimedCall]:
    """Times the noted calls with the original and the kernel in turn.

    Args:
        steps: in which they were made.
    """
    found: list[TimedCall] = []
    for shapes, call in noted.found.items():
        ways = [lambda f=f, c=call: f(*c.args, **c.kwargs) for f in (original, kernel)]
        expected, got = (list(tensors_in(way())) for way in ways)
        drift = drift_of(expected, got)
        counts = [_calls_in_a_batch(way) for way in ways]
        rounds: list[list[tuple[float, float]]] = [[], []]
        for number in range(ROUNDS):
            for place in (0, 1) if number % 2 == 0 else (1, 0):
                rounds[place].append(_call_us(ways[place], counts[place]))
        found.append(
            TimedCall(shapes, call.count / steps, tuple(rounds[0]), tuple(rounds[1]), drift)
        )
    return found


def _calls_in_a_batch(act: Callable[[], Any]) -> int:
    act()
    _synchronize()
    begin = time.perf_counter()
    act()
    _synchronize()
    return max(1, min(MOST_CALLS, int(BATCH_S / max(time.perf_counter() - begin, 1e-7))))


def _call_us(act: Callable[[], Any], calls: int) -> tuple[float, float]:
    """Microseconds of one call of many: of the host and of the device."""
    _synchronize()
    begin = time.perf_counter()
    for _ in range(calls):
        act()
    host_s = time.perf_counter() - begin
    if not torch.cuda.is_initialized():
        return host_s / calls * 1e6, host_s / calls * 1e6
    torch.cuda.synchronize()
    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(int(host_s * 1.5 * CYCLES_PER_S))
    started.record()
    for _ in range(calls):
        act()
    ended.record()
    torch.cuda.synchronize()
    return host_s / calls * 1e6, started.elapsed_time(ended) / calls * 1e3


def _synchronize() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
