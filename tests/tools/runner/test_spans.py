"""Spans run over all activities of a replay, and only of it."""

from kernel_harness.tools.driver.cupti import DeviceActivity
from kernel_harness.tools.runner.spans import marker_bytes, times_of

MARKER = 48


def marker(correlation: int) -> DeviceActivity:
    return DeviceActivity("memcpy", 0, 1, correlation, 1, "memcpy 48 bytes", MARKER)


def kernel(begin: int, end: int, correlation: int, stream: int = 1) -> DeviceActivity:
    return DeviceActivity("kernel", begin, end, correlation, stream, "a kernel")


def test_a_span_goes_from_the_first_start_to_the_last_end_over_all_streams():
    activities = [
        kernel(120, 150, 4, 1),
        kernel(100, 130, 3, 2),
        DeviceActivity("memset", 0, 90, 1, 1, "flush"),
        marker(2),
        marker(5),
        DeviceActivity("memcpy", 151, 160, 6, 1, "an output", 4096),
        marker(7),
        kernel(300, 310, 8),
        marker(9),
    ]
    first, second = times_of(activities, MARKER, [60, None], [7, 8])
    assert (first.span_ns, first.events_ns, first.enqueue_ns) == (50, 60, 7)
    assert first.activities == [(100, 130), (120, 150)]
    assert second.span_ns == 10


def test_a_kernel_that_ends_before_an_earlier_one_makes_no_span_shorter():
    activities = [marker(1), kernel(100, 170, 2, 1), kernel(90, 150, 3, 2), marker(4)]
    (only,) = times_of(activities, MARKER, [None], [1])
    assert only.span_ns == 80


def test_a_replay_that_ran_nothing_has_no_span():
    (only,) = times_of([marker(1), marker(2)], MARKER, [5], [1])
    assert only.span_ns is None and not only.activities


def test_no_replay_has_a_span_when_the_markers_do_not_add_up():
    activities = [marker(1), kernel(1, 2, 2), marker(3), marker(4), kernel(5, 6, 5)]
    assert [t.span_ns for t in times_of(activities, MARKER, [None, None], [1, 1])] == [None] * 2
    more = [*activities, marker(6)]
    assert [t.span_ns for t in times_of(more, MARKER, [None], [1])] == [None]


def test_markers_have_a_size_that_nothing_else_has():
    assert marker_bytes(set()) == MARKER
    assert marker_bytes({48, 64, 4096}) == 80
