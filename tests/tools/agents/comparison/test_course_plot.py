"""Courses of groups as pictures: what is drawn is what was written of the searches."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.agents.comparison.course import CourseAxis
from kernel_harness.tools.agents.comparison.course_plot import draw_courses, group_course
from kernel_harness.tools.errors import RequestError

from .test_compared import search


def test_a_groups_course_is_the_mean_of_its_searches_as_far_as_the_shortest_went():
    course = group_course([search(1.0, 4.0, 9.0), search(1.0, 1.0)], CourseAxis.ROUNDS)
    assert course is not None
    assert list(course.places) == [0.0, 1.0, 2.0]
    assert [s.mean for s in course.speedups] == pytest.approx([1.0, 1.0, 2.0])
    assert (course.speedups[-1].low, course.speedups[-1].high) == pytest.approx((1.0, 4.0))
    money = group_course([search(1.5, 2.0), search(3.0, cost=None)], CourseAxis.COST)
    assert money is None


def test_a_picture_has_a_panel_for_each_axis_that_anything_is_known_on(tmp_path: Path):
    groups = {"claude": [search(1.5, 2.0)], "tuner": [search(1.2, cost=None)]}
    draw_courses(groups, tmp_path / "new" / "compare.svg")
    text = (tmp_path / "new" / "compare.svg").read_text()
    assert text.count('id="axes_') == 4
    assert "<!-- claude (1) -->" in text and "<!-- US dollars -->" in text
    draw_courses({"tuner": groups["tuner"]}, tmp_path / "free.svg")
    assert (tmp_path / "free.svg").read_text().count('id="axes_') == 3


def test_what_cannot_be_drawn_is_refused(tmp_path: Path):
    with pytest.raises(RequestError, match="format"):
        draw_courses({"a": [search(1.5)]}, tmp_path / "a.gif")
    untimed = search(None)
    assert untimed.start is not None
    untimed.start = untimed.start.model_copy(update={"start_us": None})
    untimed.rounds.clear()
    with pytest.raises(RequestError, match="nothing to draw"):
        draw_courses({"a": [untimed]}, tmp_path / "a.svg")
