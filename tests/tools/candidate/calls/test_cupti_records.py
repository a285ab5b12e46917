"""Which activities belong to which call: by the order of API calls, whatever the clocks say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.candidate.calls import cupti_records
from kernel_harness.tools.candidate.calls.cupti_records import (
    MARKER_BYTES,
    ActivityRecord,
    Recorder,
    Window,
    calls_of,
)

MS = 1_000_000


class Stream:
    """Plays a process that makes calls, and gives the records of it."""

    def __init__(self, offset_ns: int = 0) -> None:
        self.records: list[ActivityRecord] = []
        self.windows: list[Window] = []
        self.now = 100 * MS
        self._offset = offset_ns
        self._correlation = 0

    def launch(self, kind: str = "kernel", nbytes: int = 0, stream: int = 7, lasts: int = 2_000):
        self._correlation += 1
        self.now += 1_000
        start = self.now + self._offset
        self.records.append(
            ActivityRecord(start, start + lasts, self._correlation, stream, kind, nbytes)
        )
        return self.records[-1]

    def call(self, kernels: int = 1, outputs: int = 2, late: bool = False):
        self.now += MS
        self.launch("memset", 1 << 20)
        self.launch("memcpy", MARKER_BYTES)
        self.now += 20_000
        moment = self.now
        mine = [self.launch() for _ in range(kernels)]
        returned = self.now
        self.launch("memcpy", MARKER_BYTES)
        for _ in range(outputs):
            self.launch("memcpy", 4096)
        self.now += 30_000
        self.windows.append(Window(moment, returned, self.now, outputs))
        if late:
            self.now += MS
            for _ in range(outputs):
                self.launch("memcpy", 4096)
        return mine


@pytest.mark.parametrize("offset", [-300_000, -15_000, 0, 15_000, 300_000])
@pytest.mark.parametrize("late", [False, True])
def test_every_call_gets_its_own_kernels_however_the_devices_clock_is_off(offset, late):
    stream = Stream(offset)
    stream.launch()
    wanted = [stream.call(kernels, late=late) for kernels in (1, 3, 2)]
    assert calls_of(stream.records, stream.windows) == wanted


@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_the_order_of_delivery_does_not_matter(rng, kernels):
    stream = Stream()
    wanted = [stream.call(count, outputs=rng.randint(0, 3)) for count in kernels]
    rng.shuffle(stream.records)
    assert calls_of(stream.records, stream.windows) == wanted


def test_a_kernel_of_another_thread_after_the_return_belongs_to_the_call():
    stream = Stream()
    mine = stream.call(1, outputs=1)
    left = stream.windows[0]
    hidden = ActivityRecord(left.returned + 2_000, left.ended - 1, 10_000, 13, "kernel")
    assert calls_of([*stream.records, hidden], stream.windows) == [[*mine, hidden]]


def test_the_snapshots_are_left_out_and_nothing_else_of_that_stream():
    stream = Stream()
    mine = stream.call(1, outputs=1)
    extra = ActivityRecord(
        stream.windows[0].ended - 10, stream.windows[0].ended, 10_000, 7, "memcpy", 4096
    )
    assert calls_of([*stream.records, extra], stream.windows) == [[*mine, extra]]


@pytest.mark.parametrize("forged", [-1, 1])
def test_a_marker_too_many_or_too_few_leaves_no_call_with_a_time(forged):
    stream = Stream()
    stream.call()
    stream.call()
    if forged > 0:
        stream.launch("memcpy", MARKER_BYTES)
    else:
        stream.records.remove(next(r for r in stream.records if r.marker))
    assert calls_of(stream.records, stream.windows) == [None, None]


def test_without_a_call_there_is_nothing():
    stream = Stream()
    stream.launch()
    assert calls_of(stream.records, []) == []


def test_a_recorder_that_is_closed_holds_no_buffer_that_a_later_profiler_would_be_given(
    monkeypatch,
):
    said: list[object] = []
    functions = {
        "timestamp": lambda: 0,
        "register": lambda *_: said.append("register"),
        "enable": lambda kind: said.append(("on", kind)),
        "disable": lambda kind: said.append(("off", kind)),
        "flush": lambda forced: said.append(("flush", forced)),
    }
    bound = SimpleNamespace(**functions, kernel=10, memcpy=1, memset=2)
    monkeypatch.setattr(cupti_records, "_cupti", bound)
    recorder = Recorder()
    said.clear()
    recorder.close()
    assert said == [("off", 10), ("off", 1), ("off", 2), ("flush", 1)]
