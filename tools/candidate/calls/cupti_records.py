"""CUPTI's activity records of this process, assigned to calls.

A call lies between two marker copies, by the order of API calls that correlation ids keep: the
device's timestamps are turned into the host's with an error of its own in every process, so no
boundary rests on comparing the two. Durations are differences of the device's timestamps alone.

Method: activity records as the CUPTI documentation describes them.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

MARKER_BYTES = 4_099
"""A prime that no sensible copy has."""
BUFFER_BYTES = 256 << 10
SHOWN_NAME = 400
MOST_NAMES = 1_000
SLACK_NS = 500_000
"""By which a device's timestamp may be ahead of the host's; the process is idle for longer."""


@dataclass(frozen=True)
class Window:
    """Host times and marker copies of one call.

    Args:
        moment, returned, ended: when it began, when it returned, and when the device was at rest.
        copies: how many outputs were copied after it, on the second marker's stream.
    """

    moment: int
    returned: int
    ended: int
    copies: int


@dataclass(frozen=True)
class ActivityRecord:
    """One activity, each of its figures read once: the binding takes 2 µs for every one.

    Args:
        start, end: nanoseconds.
        correlation: grows with the API calls of the process.
        stream: its stream's id.
        kind: 'kernel', 'memcpy' or 'memset'.
        nbytes: of a copy or memset.
        raw: the binding's own record.
    """

    start: int
    end: int
    correlation: int
    stream: int
    kind: str
    nbytes: int = 0
    raw: Any = None

    @property
    def name(self) -> str:
        """The kernel's name, or what was copied or set."""
        if self.kind != "kernel":
            return f"{self.kind} {self.nbytes} bytes"
        return str(getattr(self.raw, "name", "kernel"))

    @property
    def marker(self) -> bool:
        """Whether it is one of the copies around a call."""
        return self.kind == "memcpy" and self.nbytes == MARKER_BYTES


def calls_of(
    records: Sequence[ActivityRecord], windows: Sequence[Window]
) -> list[list[ActivityRecord] | None]:
    """The activities of each call, in the order of API calls, without the harness's own copies.

    Returns:
        One list per window; None for all when the markers among the records are not two for each.
    """
    ordered = sorted(records, key=lambda record: record.correlation)
    markers = [record for record in ordered if record.marker]
    if len(markers) != 2 * len(windows):
        return [None] * len(windows)
    order = [record.correlation for record in ordered]
    found: list[list[ActivityRecord] | None] = []
    for number, window in enumerate(windows):
        begin, end = markers[2 * number : 2 * number + 2]
        following = markers[2 * number + 2 : 2 * number + 3]
        last = following[0].correlation if following else math.inf
        inside = ordered[
            bisect_right(order, begin.correlation) : bisect_left(order, end.correlation)
        ]
        after = ordered[bisect_right(order, end.correlation) : bisect_left(order, last)]
        found.append(inside + _not_ours(after, end, window))
    return found


def _not_ours(
    after: Sequence[ActivityRecord], marker: ActivityRecord, window: Window
) -> list[ActivityRecord]:
    """Activities enqueued after the call returned that began before the device was idle."""
    left, dropped = [], 0
    for record in after:
        if dropped < window.copies and record.stream == marker.stream:
            dropped += 1
        elif record.start <= window.ended + SLACK_NS:
            left.append(record)
    return left


def bound_cupti() -> SimpleNamespace | str:
    """CUPTI's functions, bound before candidate code can replace them; or why there are none."""
    try:
        from cupti import cupti  # pyright: ignore[reportMissingImports]
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    return SimpleNamespace(
        flush=cupti.activity_flush_all,
        timestamp=cupti.get_timestamp,
        register=cupti.activity_register_callbacks,
        enable=cupti.activity_enable,
        disable=cupti.activity_disable,
        kernel=cupti.ActivityKind.CONCURRENT_KERNEL,
        memcpy=cupti.ActivityKind.MEMCPY,
        memset=cupti.ActivityKind.MEMSET,
    )


_cupti = bound_cupti()


class Recorder:
    """Collects CUPTI's activity records; one for each process."""

    def __init__(self) -> None:
        if isinstance(_cupti, str):
            raise RuntimeError(_cupti)
        self._flush, self._disable = _cupti.flush, _cupti.disable
        self.timestamp: Callable[[], int] = _cupti.timestamp
        self._delivered: list[Any] = []
        self._names: dict[str, None] = {}
        self._kinds = {_cupti.kernel: "kernel", _cupti.memcpy: "memcpy", _cupti.memset: "memset"}
        _cupti.register(_request_buffer, self._completed)
        for kind in self._kinds:
            _cupti.enable(kind)

    def calls(self, windows: Sequence[Window]) -> list[list[ActivityRecord] | None]:
        """The records since the last call of this, as `calls_of` assigns them to the windows."""
        self._flush(1)
        delivered, self._delivered = self._delivered, []
        records = [self._read(raw) for raw in delivered]
        self._name(record.name for record in records if record.kind == "kernel")
        return calls_of(records, windows)

    def forget(self) -> None:
        """Drops the records delivered so far, but for the names of kernels."""
        delivered, self._delivered = self._delivered, []
        self._name(raw.name for raw in delivered if self._kinds.get(raw.kind) == "kernel")

    def names(self) -> list[str]:
        """The names of the kernels of all calls so far; the device must be at rest."""
        self._flush(1)
        self.forget()
        return list(self._names)

    def close(self) -> None:
        """Ends recording, and takes back the buffer that the next activity would be written to.

        CUPTI gives a full buffer to whoever registered last: a profiler of this process would be
        handed one that it does not know, and drop what is in it.
        """
        for kind in self._kinds:
            self._disable(kind)
        self._flush(1)
        self.forget()

    def _name(self, names: Iterable[str]) -> None:
        for name in names:
            if len(self._names) < MOST_NAMES:
                self._names[str(name)[:SHOWN_NAME]] = None

    def _completed(self, activities: list[Any]) -> None:
        self._delivered.extend(activities)

    def _read(self, raw: Any) -> ActivityRecord:
        kind = self._kinds.get(raw.kind, "kernel")
        return ActivityRecord(
            start=raw.start,
            end=raw.end,
            correlation=raw.correlation_id,
            stream=getattr(raw, "stream_id", 0),
            kind=kind,
            nbytes=0 if kind == "kernel" else int(getattr(raw, "bytes", 0)),
            raw=raw,
        )


def _request_buffer() -> tuple[int, int]:
    return BUFFER_BYTES, 0
