"""Groups of searches as lines of text, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ...text import one_line
from .compared import GroupFigures, MeanInterval
from .course import CourseAxis

LONGEST_NAME = 48


def comparison_lines(groups: Sequence[GroupFigures]) -> list[str]:
    """The groups beside one another: results, courses, costs."""
    ordered = sorted(groups, key=lambda g: -(g.speedup.mean if g.speedup else 0.0))
    head = ["search", "n", "rounds", "right", "valid", "kept"]
    head += [f"fast_{p:g}" for p in ordered[0].fast] + ["best (95 %)"]
    rows = [
        [
            _short(g.name),
            str(g.searches),
            str(g.rounds),
            _share(g.right),
            _share(g.valid),
            _share(g.kept),
            *(_share(share) for share in g.fast.values()),
            _interval(g.speedup),
        ]
        for g in ordered
    ]
    courses = [line for axis in CourseAxis for line in _course(axis, ordered)]
    lines = [*_table(head, rows), ""]
    lines += ["Best so far over the start, by what was used:", *courses, ""] if courses else []
    return [*lines, "Used by a search on average:", *_costs(ordered), "", *_words(ordered)]


def comparison_data(groups: Sequence[GroupFigures]) -> list[dict[str, Any]]:
    """The groups as plain data."""
    found = []
    for group in groups:
        data = asdict(group)
        data["spent"] = group.spent.model_dump(mode="json")
        data["fast"] = {f"{p:g}": share for p, share in group.fast.items()}
        data["points"] = [{**asdict(p), "axis": str(p.axis)} for p in group.points]
        found.append(data)
    return found


def _course(axis: CourseAxis, groups: Sequence[GroupFigures]) -> list[str]:
    rows = [
        [_short(group.name)]
        + [f"{p.at:.4g}: {_interval(p.speedup)}" for p in group.points if p.axis is axis]
        for group in groups
        if any(p.axis is axis for p in group.points)
    ]
    return (
        ["", *_table([f"{axis}", "a quarter", "half", "three quarters", "all"], rows)]
        if rows
        else []
    )


def _costs(groups: Sequence[GroupFigures]) -> list[str]:
    head = ["search", "evaluations", "device s", "building s", "agents s", "wall s"]
    head += ["tokens in", "tokens out", "US dollars"]
    rows = []
    for group in groups:
        spent, n = group.spent, group.searches
        usage = spent.usage
        figures = [spent.count, spent.device_seconds, spent.build_seconds, spent.agent_seconds]
        figures += [spent.wall_seconds]
        said = [f"{value / n:.4g}" for value in figures]
        said += [
            "–" if value is None else f"{value / n:.4g}"
            for value in (usage.tokens_in, usage.tokens_out, usage.cost_usd)
        ]
        rows.append([_short(group.name), *said])
    return _table(head, rows)


def _words(groups: Sequence[GroupFigures]) -> list[str]:
    definitions = list(dict.fromkeys(d for group in groups for d in group.definitions))
    lines = [f"Operators: {', '.join(definitions)}."]
    if any(group.definitions != groups[0].definitions for group in groups):
        lines.append("Not all groups have the same operators: their speedups are not comparable.")
    if any(group.searches < 3 for group in groups):
        lines.append("With fewer than three repeats an interval is the least and the greatest.")
    return lines


def _short(name: str) -> str:
    """A group's name without its middle, where it is long: its end often tells groups apart."""
    said = one_line(name, len(name))
    if len(said) <= LONGEST_NAME:
        return said
    head = LONGEST_NAME // 3
    return f"{said[:head]}…{said[head + 1 - LONGEST_NAME :]}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _interval(found: MeanInterval | None) -> str:
    if found is None:
        return "–"
    if found.count == 1:
        return f"{found.mean:.3g}x"
    return f"{found.mean:.3g}x ({found.low:.3g}-{found.high:.3g})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in (head, *rows) if n < len(row)) for n in range(len(head))]
    return [
        "  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=False)).rstrip()
        for row in (head, *rows)
    ]
