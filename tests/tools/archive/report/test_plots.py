"""Plots are text that a page can colour, and bytes that a tool can show."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from kernel_harness.tools.archive.report import plots
from kernel_harness.tools.archive.report.plots import PlotPoint, Roof

ROOF = Roof("H200", 4.8e12, {"bf16": 989e12, "fp32": 67e12})


def test_a_floor_plot_has_a_point_for_each_timed_workload(trial):
    _, evaluation = trial(latency_us=4.0)
    points = plots.floor_points(evaluation, "H200")
    assert [(p.x, p.y) for p in points] == [(1.0, 4.0), (2.0, 8.0)] and "25%" in points[0].label
    svg = plots.floor_frame(points, "H200").with_points(points)
    ElementTree.fromstring(svg)
    assert svg.count('class="point"') == 2 and "m=64" in svg


def test_points_lie_where_their_values_say():
    points = [PlotPoint(1.0, 10.0, "a"), PlotPoint(100.0, 1000.0, "b")]
    frame = plots.floor_frame(points)
    circles = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', frame.with_points(points))
    (ax, ay), (bx, by) = [(float(x), float(y)) for x, y in circles]
    assert ax < bx and ay > by
    corners = [PlotPoint(frame.x[0], frame.y[0], ""), PlotPoint(frame.x[1], frame.y[1], "")]
    spread = re.findall(r'cx="([\d.]+)"', frame.with_points(corners))
    assert float(spread[0]) < ax and float(spread[1]) > bx


def test_plots_take_their_colours_from_the_page_and_ask_for_nothing():
    points = [PlotPoint(10.0, 1e13, "<w>")]
    svg = plots.roofline_frame(points, ROOF).with_points(points)
    ElementTree.fromstring(svg)
    assert "currentColor" in svg and "&lt;w&gt;" in svg
    links = re.findall(r'(?:href|src)="([^"]*)"', svg)
    assert all(link.startswith("#") for link in links)


def test_pictures_for_tools_are_png():
    points = [PlotPoint(1.0, 2.0, "")]
    assert plots.floor_png(points).startswith(b"\x89PNG")
    assert plots.roofline_png([PlotPoint(1.0, 1e12, "")], ROOF).startswith(b"\x89PNG")


def test_other_candidates_and_estimates_are_drawn_beside_what_stands_out():
    points = [PlotPoint(1.0, 2.0, "")]
    beside = [PlotPoint(1.0, 1.5, "")]
    assert plots.floor_png(points) != plots.floor_png(points, estimates=beside)
    best, others = [PlotPoint(10.0, 1e12, "")], [PlotPoint(10.0, 5e11, "")]
    assert plots.roofline_png(best, ROOF) != plots.roofline_png(best, ROOF, others)


def test_lines_are_named_along_their_slope_and_rates_in_their_units():
    svg = plots.floor_frame([PlotPoint(1.0, 10.0, ""), PlotPoint(10.0, 20.0, "")]).svg
    for words in ("speed of light", "50% of it", "10% of it"):
        assert words in svg
    assert len(re.findall(r"rotate\(-\d", svg)) >= 3
    roof = plots.roofline_frame([PlotPoint(1.0, 1e12, "")], ROOF).svg
    for words in ("memory 4.8 TB/s", "bf16 989 TFLOP/s", "fp32 67 TFLOP/s", "FLOP per byte"):
        assert words in roof


def test_nothing_to_draw_is_drawn_without_an_error():
    ElementTree.fromstring(plots.floor_frame([]).svg)
    ElementTree.fromstring(plots.roofline_frame([], ROOF).svg)
