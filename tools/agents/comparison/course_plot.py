"""Draws how far groups of searches were, against rounds, the device's seconds, time and money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import RequestError
from ..records.state import SearchState
from .compared import MeanInterval, mean_interval
from .course import CourseAxis, CoursePoint, course_of, speedup_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".svg", ".png", ".pdf")
LABELS = {
    CourseAxis.ROUNDS: "rounds",
    CourseAxis.DEVICE: "seconds of the device",
    CourseAxis.WALL: "seconds",
    CourseAxis.COST: "US dollars",
}


@dataclass(frozen=True)
class GroupCourse:
    """A group's mean speedup on one axis: from each place on, until the next one."""

    places: Sequence[float]
    speedups: Sequence[MeanInterval]


def group_course(states: Sequence[SearchState], axis: CourseAxis) -> GroupCourse | None:
    """The group's course, up to where its shortest search ended; None where nothing is known."""
    courses = [course_of(state) for state in states]
    ends = [course[-1].at(axis) for course in courses]
    if not all(ends):
        return None
    last = min(end for end in ends if end is not None)
    found = [
        (place, mean)
        for place in _places(courses, axis, last)
        if (mean := _mean_at(courses, axis, place)) is not None
    ]
    if not found:
        return None
    return GroupCourse([place for place, _ in found], [mean for _, mean in found])


def _places(courses: Sequence[Sequence[CoursePoint]], axis: CourseAxis, last: float) -> list[float]:
    """Where any of the courses changes, to the last place."""
    every = {point.at(axis) or 0.0 for course in courses for point in course}
    return sorted(place for place in every | {0.0, last} if place <= last)


def _mean_at(
    courses: Sequence[Sequence[CoursePoint]], axis: CourseAxis, place: float
) -> MeanInterval | None:
    """The mean where every search has used so much; None while one of them has timed nothing."""
    values = [speedup_at(course, axis, place) for course in courses]
    known = [value for value in values if value is not None]
    return mean_interval(known) if len(known) == len(values) else None


def draw_courses(groups: Mapping[str, Sequence[SearchState]], path: Path) -> None:
    """Writes the picture, a panel for each axis that anything is known on.

    Its format is that of the file's name.

    Raises:
        RequestError: when nothing was timed, or the format is unknown.
    """
    from matplotlib.figure import Figure

    if path.suffix not in FORMATS:
        raise RequestError(
            "The picture's format is not known", where=str(path), remedy=f"One of {FORMATS}."
        )
    found = {
        axis: {name: course for name, s in groups.items() if (course := group_course(s, axis))}
        for axis in CourseAxis
    }
    panels = {axis: courses for axis, courses in found.items() if courses}
    if not panels:
        raise RequestError(
            "There is nothing to draw: no search has timed anything",
            remedy="Run searches on a machine with an NVIDIA GPU.",
        )
    figure = Figure(figsize=(4.2 * len(panels), 3.8), layout="constrained")
    several = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for panel, (axis, courses) in zip(several, panels.items(), strict=True):
        _draw_panel(panel, axis, courses, groups)
    several[0].set_ylabel("best so far, times the start")
    handles, names = several[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw_panel(
    panel: Axes,
    axis: CourseAxis,
    courses: Mapping[str, GroupCourse],
    groups: Mapping[str, Sequence[SearchState]],
) -> None:
    colours = {name: f"C{number % 10}" for number, name in enumerate(groups)}
    for name, course in courses.items():
        label, colour = f"{name} ({len(groups[name])})", colours[name]
        means = [speedup.mean for speedup in course.speedups]
        low = [speedup.low for speedup in course.speedups]
        high = [speedup.high for speedup in course.speedups]
        panel.step(course.places, means, where="post", label=label, color=colour)
        panel.fill_between(
            course.places, low, high, step="post", alpha=0.2, color=colour, linewidth=0
        )
        end = course.speedups[-1]
        errors = [[end.mean - end.low], [end.high - end.mean]]
        panel.errorbar([course.places[-1]], [end.mean], errors, fmt="o", color=colour, capsize=3)
    panel.set(xlabel=LABELS[axis], xlim=(0, None))
    panel.grid(alpha=0.4)
