"""The course of a search: where each candidate stands, over what, and how it is drawn."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_harness.tools.archive.report.trajectory import (
    Against,
    Over,
    Scale,
    TrajectoryPoint,
    greatest_steps,
    running_best,
    trajectory_chart,
    trajectory_png,
    trajectory_points,
    trajectory_svg,
)
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import Status


def test_the_same_values_give_the_same_drawing():
    points = [TrajectoryPoint(1, 10.0), TrajectoryPoint(2, None, failed=True)]
    assert trajectory_svg(points, Against(12.0)) == trajectory_svg(points, Against(12.0))


@settings(max_examples=6, deadline=None)
@given(
    st.lists(
        st.builds(
            TrajectoryPoint,
            position=st.integers(1, 50),
            latency_us=st.none() | st.floats(0.01, 1e6),
            promoted=st.booleans(),
            failed=st.booleans(),
        ),
        max_size=6,
    ),
    st.none() | st.builds(Against, st.floats(0.01, 1e6)),
    st.sampled_from(Over),
)
def test_any_trajectory_can_be_drawn(points, against, over):
    ElementTree.fromstring(trajectory_svg(points, against, "H200", over))


def test_the_first_sealed_latency_ends_the_line_of_claimed_bests():
    claimed = [TrajectoryPoint(1, 10.0), TrajectoryPoint(2, 5.0)]
    sealed = [TrajectoryPoint(3, 8.0, sealed=True), TrajectoryPoint(5, 7.0, sealed=True)]
    points = [*claimed, *sealed, TrajectoryPoint(4, 1.0)]
    best = running_best(sorted(points, key=lambda p: p.position))
    assert [(p.position, latency) for p, latency in best] == [(1, 10), (2, 5), (3, 8), (5, 7)]
    # From a claimed latency to a sealed one is no step of the search.
    assert [p.position for p, _ in greatest_steps(best)] == [2, 5]


def test_the_three_greatest_steps_and_the_best_are_named():
    """Most candidates change little, and a name of each would hide the ones that did."""
    latencies = (100.0, 50.0, 49.0, 30.0, 29.9, 10.0, 9.0)
    points = [TrajectoryPoint(n, us, name=f"v{n}") for n, us in enumerate(latencies, 1)]
    assert [p.name for p, _ in greatest_steps(running_best(points))] == ["v2", "v4", "v6"]
    svg = trajectory_svg(points, Against(90.0), "H200")
    assert "best v7 9 µs, 10×" in svg and "1 v2 50 µs   2 v4 30 µs   3 v6 10 µs" in svg
    hostile = [TrajectoryPoint(1, 9.0, name="$\\frac{<b>&\n"), TrajectoryPoint(2, 1.0, name="$")]
    ElementTree.fromstring(trajectory_svg(hostile, Against(10.0, "$\\x$")))
    assert "µs" in trajectory_svg([TrajectoryPoint(1, 9.0)])


def test_candidates_stand_at_their_number_their_gpu_time_or_the_clock(bench):
    """Each made-up trial begins a minute after the one before, and takes ten seconds."""
    bench.add(latency_us=10.0)
    bench.add(status=Status.INCORRECT_NUMERICAL)
    bench.add(gpu=None)
    bench.add(latency_us=4.0)
    nodes = list(bench.archive.iter())
    count = trajectory_points(nodes, "H200", Over.CANDIDATES)
    assert [(p.position, p.latency_us, p.failed) for p in count] == [
        (1, 15.0, False),
        (2, None, True),
        (3, None, False),
        (4, 6.0, False),
    ]
    spent = trajectory_points(nodes, "H200", Over.GPU_SECONDS)
    assert [(p.position, p.latency_us) for p in spent] == [(10, 15.0), (20, None), (30, 6.0)]
    hours = trajectory_points(nodes, "H200", Over.WALL_TIME)
    assert [p.position * 3600 for p in hours] == pytest.approx([10, 70, 130, 190])


def test_one_curve_has_a_scale_of_latency_and_one_of_speedup():
    points = [TrajectoryPoint(1, 10.0), TrajectoryPoint(2, 5.0)]
    svg = trajectory_svg(points, Against(20.0, "theirs"), "H200")
    assert "mean latency (µs)" in svg and "speed-up" in svg and "theirs 20 µs" in svg
    alone = trajectory_svg(points, None, "H200")
    assert "speed-up" not in alone
    labels = set(re.findall(r">(\d[\d.]*)</text>", svg))
    assert {"5", "10", "20"} <= labels and "4" in labels  # 20 / 5


def test_pictures_for_tools_differ_by_what_they_are_drawn_over_and_up():
    points = [TrajectoryPoint(1, 10.0), TrajectoryPoint(2, 5.0)]
    drawn = {trajectory_png(points, Against(20.0), "", over) for over in Over}
    drawn |= {trajectory_png(points, Against(20.0), "", scale=Scale.SPEEDUP)}
    assert len(drawn) == 4 and all(picture.startswith(b"\x89PNG") for picture in drawn)


def test_a_chart_is_of_the_device_timed_last_unless_one_is_named(bench):
    bench.add(latency_us=10.0, gpu="NVIDIA B200")
    bench.add(latency_us=4.0)
    latest = trajectory_chart(bench.archive, "scale_n64")
    assert latest == trajectory_chart(bench.archive, "scale_n64", "H200")
    assert latest != trajectory_chart(bench.archive, "scale_n64", "B200")
    with pytest.raises(RequestError, match="was timed on L4.*Some were on: B200, H200"):
        trajectory_chart(bench.archive, "scale_n64", "L4")


def test_a_speedup_needs_something_to_be_over(bench):
    bench.add(latency_us=4.0, baseline=None, baseline_hash=None)
    with pytest.raises(RequestError, match="neither the reference nor a baseline"):
        trajectory_chart(bench.archive, "scale_n64", scale=Scale.SPEEDUP)
