"""Calls of a program's functions, timed in their places there and then repeated by themselves.

What a call takes depends on what lies in the caches and on how far the host is ahead, so it is
timed where the program makes it. Steps take turns: in one all calls go to the kernels, in the next
all to the originals, and each is timed; the third is left alone, for no clock is free, and tells
how fast this process is beside others.

Repeated calls find their arguments in caches of their own. On a GPU the device's time is taken with
the queue full, so that the host's is not in it, and the host's with the queue empty.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch

from ...applying.replaced_attribute import attribute_owner, replace_attribute
from ...applying.routing import Applied
from ..delayed_device import LONGER, DelayedDevice, keep_busy, timed_events
from .drift import drift_of, tensors_in
from .predictions import DEVICE_BOUND
from .step_timing import StepTimer
from .verified_runs import Span, TimedCall

MOST_SHAPES = 64
MOST_BYTES = 8 << 30
"""Of copies of arguments."""
MOST_STEPS = 60
ROUNDS = 15
BATCH_S = 0.002
MOST_CALLS = 64


class StepKind(Enum):
    """Where the calls of a step go, and whether they are timed."""

    KERNEL = "timed with the kernel"
    ORIGINAL = "timed with the original"
    PLAIN = "as it is"


TURNS = tuple(StepKind)


@dataclass
class NotedCall:
    """Calls with equal shapes.

    Attributes:
        args: of the first one, which may have been changed since: a copy.
        shapes: of them, in words.
        count: of calls in steps whose calls are timed.
        spans: mean of a call's, of each step in which there was one.
        open: calls of the step under way.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: str = ""
    count: int = 0
    spans: dict[StepKind, dict[int, Span]] = field(
        default_factory=lambda: {StepKind.KERNEL: {}, StepKind.ORIGINAL: {}}
    )
    open: list[tuple[float, Any, Any]] = field(default_factory=list[tuple[float, Any, Any]])

    def close(self, kind: StepKind, turn: int, clock_us: float = 0.0) -> tuple[float, int]:
        """Takes the calls of a step that ended, whose work the device has done.

        Args:
            clock_us: what two events tell of each above what it takes.

        Returns:
            Their time on the device, and how many they were.
        """
        each = [
            (host_us, host_us if begun is None else begun.elapsed_time(ended) * 1e3 - clock_us)
            for host_us, begun, ended in self.open
        ]
        if each:
            self.count += len(each)
            host_us, device_us = (sum(one) / len(each) for one in zip(*each, strict=True))
            self.spans[kind][turn] = host_us, device_us
        self.open = []
        return sum(device_us for _, device_us in each), len(each)


class PlacedSteps(StepTimer):
    """Tells of each step of a program where its calls go, and gathers what they took.

    Args:
        warmup: steps in which calls are noted and not timed.

    Attributes:
        rest_us: what a step with the originals took besides its calls, by turn.
        clocks_s: of the host, for the clocks of the calls of the step under way.
    """

    def __init__(self, warmup: int) -> None:
        super().__init__(warmup, MOST_STEPS, keeps=False)
        self.targets: list[PlacedTarget] = []
        self.inside = False
        self.busy = threading.local()
        self.rest_us: dict[int, float] = {}
        self.clocks_s = 0.0
        self._device = DelayedDevice()
        self._warm_s = 0.0

    @property
    def kind(self) -> StepKind:
        """What the step under way is for; calls outside of steps are left alone."""
        if not self.inside or self.made >= self._last:
            return StepKind.PLAIN
        if self.made < self._first:
            return TURNS[self.made % 2]  # both are warm then
        return TURNS[(self.made - self._first) % len(TURNS)]

    @property
    def plain_ns(self) -> list[tuple[int, int]]:
        """Place and time of each step that was left alone."""
        return list(enumerate(self.step_ns))[TURNS.index(StepKind.PLAIN) :: len(TURNS)]

    @property
    def _looked_at(self) -> bool:
        """Whether the step is the last that warms up, which tells what steps wait for."""
        return self.made + 1 == self._first

    @property
    def timed_steps(self) -> int:
        """How many steps there were whose calls were timed."""
        return len(self.step_ns) - len(self.plain_ns)

    def _look(self, host_s: float, step_s: float) -> None:
        self._device.look(host_s, waits=host_s < DEVICE_BOUND * step_s)

    def begin(self, root: torch.nn.Module | None) -> None:
        """A step begins."""
        if self._looked_at:
            _synchronize()
            self._warm_s = time.perf_counter()
        super().begin(root)
        self.inside, self.clocks_s = True, 0.0
        if self.under_way and self.kind is StepKind.KERNEL:
            self._device.hold()

    def end(self, result: Any) -> None:
        """It ended."""
        kind, timed = self.kind, self.under_way
        turn = (self.made - self._first) // len(TURNS)
        self.inside = False
        if self._looked_at:
            host_s = time.perf_counter() - self._warm_s
            _synchronize()
            self._look(host_s, time.perf_counter() - self._warm_s)
        super().end(result)
        calls_us, count = 0.0, 0
        for target in self.targets:
            for call in list(target.calls.values()):  # a thread of the program's may add one
                if timed and kind is not StepKind.PLAIN:
                    us, calls = call.close(kind, turn, self._device.clock.reading_us)
                    calls_us, count = calls_us + us, count + calls
                call.open = []
        if not timed:
            return
        if kind is StepKind.PLAIN:
            self._look(self.host_ns[-1] / 1e9, self.step_ns[-1] / 1e9)
        elif kind is StepKind.ORIGINAL:
            # Where the step waits for the device, its clocks are the events around each call alone.
            clocks_us = self.clocks_s * 1e6
            if self._device.bound:
                clocks_us = count * self._device.clock.step_us
            self.rest_us[turn] = self.step_ns[-1] / 1e3 - clocks_us - calls_us


class PlacedTarget:
    """Stands for a function of a program, and times its calls.

    Args:
        name: of the function, by which the program calls it.
        applied: the kernel in its place.
    """

    def __init__(self, name: str, applied: Applied, steps: PlacedSteps) -> None:
        self.name = name
        self.applied = applied
        self.calls: dict[Any, NotedCall] = {}
        self._steps = steps
        self._left_bytes = MOST_BYTES
        steps.targets.append(self)
        owner, last = attribute_owner(name)
        self._restore = replace_attribute(owner, last, self._stands())

    def remove(self) -> None:
        """Puts the original back."""
        self._restore()
        self.applied.remove()

    def _stands(self) -> Callable[..., Any]:
        original, kernel, steps = self.applied.original, self.applied.function, self._steps

        @functools.wraps(original)
        def placed(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return kernel(*args, **kwargs)
            kind = steps.kind
            function = kernel if kind is StepKind.KERNEL else original
            # Within another call that is timed the time is that call's.
            if kind is StepKind.PLAIN or getattr(steps.busy, "by_call", False) or _capturing():
                return function(*args, **kwargs)
            steps.busy.by_call = True
            begin = time.perf_counter()
            try:
                call = self._noted(args, kwargs)
                result, clocked = _timed(function, args, kwargs, call)
                steps.clocks_s += time.perf_counter() - begin - clocked
                return result
            finally:
                steps.busy.by_call = False

        return placed

    def _noted(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NotedCall | None:
        """The calls with the shapes of these arguments; None where no more are noted."""
        given = [value for value in (*args, *kwargs.values()) if not _is_module(value)]
        key = tuple(_form(value) for value in given)
        known = self.calls.get(key)
        if known is None and len(self.calls) < MOST_SHAPES:
            size = sum(tensor.nbytes for tensor in tensors_in(given))
            if size > self._left_bytes:
                return None
            self._left_bytes -= size
            copied = tuple(_copied(value) for value in args)
            words = {name: _copied(value) for name, value in kwargs.items()}
            shapes = ", ".join(_said(value) for value in given)
            known = self.calls[key] = NotedCall(copied, words, shapes)
        return known


def _timed(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    call: NotedCall | None,
) -> tuple[Any, float]:
    """Makes a call, and notes its time on the host and two events around it on the device.

    Returns:
        Its result, and the seconds of the host that a step would have taken as well, or that the
        device's time of the call has in it: the call's and the events'.
    """
    begun = ended = None
    if torch.cuda.is_initialized():
        begun, ended = timed_events()
        begun.record()
    begin = time.perf_counter()
    result = function(*args, **kwargs)
    host_s = clocked_s = time.perf_counter() - begin
    if ended is not None:
        ended.record()
        clocked_s = time.perf_counter() - begin
    if call is not None:
        call.open.append((host_s * 1e6, begun, ended))
    return result, clocked_s


def _capturing() -> bool:
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def _is_module(value: Any) -> bool:
    return isinstance(value, torch.nn.Module)


def _form(value: Any) -> Any:
    """What tells calls of other shapes apart, and costs little."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape
    return repr(value)[:40]


def _said(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    return repr(value)[:40]


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
        return value.detach().clone()
    return value


# --- calls by themselves ---


@torch.no_grad()
def timed_calls(target: PlacedTarget, steps: int, turns: int) -> list[TimedCall]:
    """Times the noted calls with the original and the kernel in turn.

    Args:
        steps: in which they were made.
        turns: how often a step's calls were timed in their places, with each of the two.
    """
    found: list[TimedCall] = []
    for call in target.calls.values():
        if not call.count:
            continue  # made while warming up alone, or raising exceptions
        both = (target.applied.original, target.applied.function)
        ways = [lambda f=f, c=call: f(*c.args, **c.kwargs) for f in both]
        expected, got = (_left_by(function, call) for function in both)
        drift = drift_of(expected, got)
        counts = [_calls_in_a_batch(way) for way in ways]
        rounds: list[list[Span]] = [[], []]
        for number in range(ROUNDS):
            for place in (0, 1) if number % 2 == 0 else (1, 0):
                rounds[place].append(_call_us(ways[place], counts[place]))
        placed = [
            tuple(call.spans[kind].get(turn) for turn in range(turns))
            for kind in (StepKind.ORIGINAL, StepKind.KERNEL)
        ]
        found.append(
            TimedCall(
                call.shapes, call.count / steps, tuple(rounds[0]), tuple(rounds[1]), drift, *placed
            )
        )
    return found


KEPT = (torch.nn.Module, torch.nn.Parameter)
"""Are a model's own, and not copied."""


def _left_by(function: Callable[..., Any], call: NotedCall) -> list[torch.Tensor]:
    """What a call returns, and what it leaves in its arguments: a program goes on with both."""
    args = tuple(_copied(value) for value in call.args)
    kwargs = {name: _copied(value) for name, value in call.kwargs.items()}
    returned = function(*args, **kwargs)
    given = [v for v in (*args, *kwargs.values()) if not isinstance(v, KEPT)]
    return [*tensors_in(returned), *tensors_in(given)]


def _calls_in_a_batch(act: Callable[[], Any]) -> int:
    act()
    _synchronize()
    begin = time.perf_counter()
    act()
    _synchronize()
    return max(1, min(MOST_CALLS, int(BATCH_S / max(time.perf_counter() - begin, 1e-7))))


def _call_us(act: Callable[[], Any], calls: int) -> Span:
    """Microseconds of one call of many: of the host and of the device."""
    _synchronize()
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


def _synchronize() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
