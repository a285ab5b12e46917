"""Spans run over all activities of a replay, and only of it."""

from kernel_harness.tools.driver.cupti import DeviceActivity
from kernel_harness.tools.runner.spans import times_of


def test_a_span_goes_from_the_first_start_to_the_last_end_over_all_streams():
    activities = [
        DeviceActivity("kernel", 120, 150, 2, 1, "b", 1),
        DeviceActivity("kernel", 100, 130, 1, 2, "a", 1),
        DeviceActivity("memset", 0, 90, 0, 1, "flush"),
        DeviceActivity("kernel", 300, 310, 5, 1, "a", 2),
    ]
    first, second, third = times_of(activities, [60, 20, None], [7, 8, 9])
    assert (first.span_ns, first.events_ns, first.enqueue_ns) == (50, 60, 7)
    assert first.activities == [(100, 130), (120, 150)]
    assert second.span_ns == 10
    assert third.span_ns is None and not third.activities
