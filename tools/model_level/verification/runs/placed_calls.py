"""Calls of a program's functions, timed in their places there.

What a call takes depends on what lies in the caches and on how far the host is ahead, so it is
timed where the program makes it. Steps take turns: in one all calls go to the kernels, in the next
all to the originals, and each is timed; the third is left alone, for no clock is free, and tells
how fast this process is beside others.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch

from ....applying.replaced_attribute import attribute_owner, replace_attribute
from ....applying.routing import Applied
from ...delayed_device import DelayedDevice, EventPair, timed_events
from ..predictions import DEVICE_BOUND
from ..verified_runs import CallSpans, Span, TimedTurn
from .drift import tensors_in
from .step_timing import StepTimer, synchronize

MOST_SHAPES = 64
MOST_BYTES = 8 << 30
"""Of copies of arguments."""
MOST_STEPS = 60


class StepKind(Enum):
    """Where the calls of a step go, and whether they are timed."""

    KERNEL = "timed with the kernel"
    ORIGINAL = "timed with the original"
    PLAIN = "as it is"


KINDS = tuple(StepKind)


@dataclass(frozen=True)
class MadeCall:
    """A call whose times are read when the device has done it.

    Args:
        host_us: until it returned.
        events: around it; None on the CPU.
    """

    host_us: float
    events: EventPair | None

    def span(self, clock_us: float) -> Span:
        """What it took of the host and of the device.

        Args:
            clock_us: that is in what two events tell of it.
        """
        if self.events is None:
            return self.host_us, self.host_us
        begun, ended = self.events
        return self.host_us, begun.elapsed_time(ended) * 1e3 - clock_us


@dataclass
class NotedCall:
    """Calls with equal shapes.

    Attributes:
        args: of the first one, which may have been changed since: a copy.
        shapes: of them, in words.
        count: of calls in steps whose calls are timed.
        made: in the step under way.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: str = ""
    count: int = 0
    made: list[MadeCall] = field(default_factory=list[MadeCall])
    _means: dict[StepKind, dict[int, Span]] = field(
        default_factory=lambda: {StepKind.KERNEL: {}, StepKind.ORIGINAL: {}}
    )

    def made_since(self) -> list[MadeCall]:
        """The calls that were made since this was asked."""
        made, self.made = self.made, []
        return made

    def note(self, kind: StepKind, turn: int, spans: Sequence[Span]) -> None:
        """Notes what the calls of a step took."""
        if spans:
            self.count += len(spans)
            host_us, device_us = (sum(one) / len(spans) for one in zip(*spans, strict=True))
            self._means[kind][turn] = host_us, device_us

    def times(self, turns: int) -> CallSpans:
        """The mean of a call at each turn."""
        return CallSpans(
            *(
                tuple(self._means[kind].get(turn) for turn in range(turns))
                for kind in (StepKind.ORIGINAL, StepKind.KERNEL)
            )
        )


class PlacedSteps(StepTimer):
    """Tells of each step of a program where its calls go, and gathers what they took.

    Args:
        warmup: steps in which calls are noted and not timed.

    Attributes:
        targets: whose calls are timed.
        turns: that are over, of three steps each.
        inside: whether a step is under way.
        busy: in each thread, whether a call is timed.
        clocks_s: of the host, for the clocks of the calls of the step under way.
    """

    def __init__(self, warmup: int) -> None:
        super().__init__(warmup, MOST_STEPS, keeps=False)
        self.targets: list[PlacedTarget] = []
        self.turns: list[TimedTurn] = []
        self.inside = False
        self.busy = threading.local()
        self.clocks_s = 0.0
        self._device = DelayedDevice()
        self._warm_s = self._rest_us = 0.0

    @property
    def kind(self) -> StepKind:
        """What the step under way is for; calls outside of steps are left alone."""
        if not self.inside or self.made >= self._last:
            return StepKind.PLAIN
        if self.made < self._first:
            return KINDS[self.made % 2]  # both are warm then
        return KINDS[(self.made - self._first) % len(KINDS)]

    @property
    def timed_steps(self) -> int:
        """How many steps there were whose calls were timed."""
        return len(self.step_ns) - len(self.turns)

    @property
    def _last_warm(self) -> bool:
        """Whether the step is the last that warms up, which tells what steps wait for."""
        return self.made + 1 == self._first

    def begin(self, root: torch.nn.Module | None) -> None:
        """A step begins."""
        if self._last_warm:
            synchronize()
            self._warm_s = time.perf_counter()
        super().begin(root)
        self.inside, self.clocks_s = True, 0.0
        if self.under_way and self.kind is StepKind.KERNEL:
            self._device.hold()

    def end(self, result: Any) -> None:
        """It ended."""
        kind, timed = self.kind, self.under_way
        self.inside = False
        if self._last_warm:
            host_s = time.perf_counter() - self._warm_s
            synchronize()
            self._look(host_s, time.perf_counter() - self._warm_s)
        super().end(result)
        if not timed:
            self._calls()  # which warmed up
        elif kind is StepKind.PLAIN:
            self.turns.append(TimedTurn(len(self.step_ns) - 1, self.step_ns[-1], self._rest_us))
            self._look(self.host_ns[-1] / 1e9, self.step_ns[-1] / 1e9)
        else:
            self._note(kind)

    def _look(self, host_s: float, step_s: float) -> None:
        self._device.look(host_s, waits=host_s < DEVICE_BOUND * step_s)

    def _note(self, kind: StepKind) -> None:
        """Notes the times of the calls of the step that ended."""
        clock, calls_us, count = self._device.clock, 0.0, 0
        for call, made in self._calls():
            each = [one.span(clock.reading_us) for one in made]
            call.note(kind, len(self.turns), each)
            calls_us, count = calls_us + sum(us for _, us in each), count + len(each)
        if kind is StepKind.ORIGINAL:
            # Where the step waits for the device, its clocks are the events around each call alone.
            clocks_us = count * clock.step_us if self._device.bound else self.clocks_s * 1e6
            self._rest_us = self.step_ns[-1] / 1e3 - clocks_us - calls_us

    def _calls(self) -> list[tuple[NotedCall, list[MadeCall]]]:
        """The calls of the step that ended, by their shapes."""
        return [
            (call, call.made_since())
            for target in self.targets
            for call in list(target.calls.values())  # a thread of the program's may add one
        ]


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
            shapes = ", ".join(_said(value) for value in given)
            known = self.calls[key] = NotedCall(
                tuple(copied(value) for value in args),
                {name: copied(value) for name, value in kwargs.items()},
                shapes,
            )
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
    events = timed_events() if torch.cuda.is_initialized() else None
    if events is not None:
        events[0].record()
    begin = time.perf_counter()
    result = function(*args, **kwargs)
    host_s = clocked_s = time.perf_counter() - begin
    if events is not None:
        events[1].record()
        clocked_s = time.perf_counter() - begin
    if call is not None:
        call.made.append(MadeCall(host_s * 1e6, events))
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


def copied(value: Any) -> Any:
    """An argument as it is now; a model's own tensors are not copied."""
    if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
        return value.detach().clone()
    return value
