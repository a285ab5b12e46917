"""A dataset's ranking as one page: it opens from a file, without a network.

Whatever an author wrote is escaped, and the page's own policy forbids every request and script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ..text import visible
from .ranking import AuthorRank, Ranking
from .report_lines import author_table, definition_tables, score_note, total_lines

COLOURS = ("#2563eb", "#c2410c", "#15803d", "#9333ea", "#0e7490", "#b91c1c", "#a16207", "#525a66")
LEFT, RIGHT, TOP, BOTTOM = 50.0, 620.0, 20.0, 260.0
LEAST, MOST = 0.25, 16.0
"""Speed-ups at the ends of the axis, unless there are larger ones."""


@dataclass(frozen=True)
class _Curve:
    author: str
    colour: str
    points: str


@dataclass(frozen=True)
class _Tick:
    x: float
    words: str


def write_page(ranking: Ranking, out: Path, title: str) -> Path:
    """Writes index.html into a folder, over an earlier one, and returns its path."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    shared = files("kernel_harness.tools.archive.report") / "templates"
    own = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader([own, str(shared)]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    timed = [author for author in ranking.authors if author.speedups]
    most = max([MOST, *(s for author in timed for s in author.speedups)])
    text = environment.get_template("report.html").render(
        title=title,
        totals=total_lines(ranking.summary),
        authors=author_table(ranking.authors),
        curves=[_curve(a, COLOURS[i % len(COLOURS)], most) for i, a in enumerate(timed)],
        ticks=_ticks(most),
        sections=definition_tables(ranking),
        note=score_note(),
    )
    out.mkdir(parents=True, exist_ok=True)
    page = out / "index.html"
    page.write_text(text, encoding="utf-8")
    return page


def _curve(author: AuthorRank, colour: str, most: float) -> _Curve:
    """The share of workloads that are faster than p, over p: it falls at each speed-up."""
    at = [LEAST, *sorted(s for s in author.speedups if LEAST < s), most]
    points: list[tuple[float, float]] = []
    before = author.faster_than(LEAST)
    for ratio in at:
        share = author.faster_than(ratio)
        points += [(_x(ratio, most), _y(before)), (_x(ratio, most), _y(share))]
        before = share
    return _Curve(author.author, colour, " ".join(f"{x:.1f},{y:.1f}" for x, y in points))


def _ticks(most: float) -> Sequence[_Tick]:
    powers = range(round(math.log2(LEAST)), math.floor(math.log2(most)) + 1)
    step = max(1, len(powers) // 8)
    return [_Tick(round(_x(2.0**n, most), 1), f"{2.0**n:g}") for n in powers[::step]]


def _x(ratio: float, most: float) -> float:
    share = math.log(max(ratio, LEAST) / LEAST) / math.log(most / LEAST)
    return LEFT + share * (RIGHT - LEFT)


def _y(share: float) -> float:
    return BOTTOM - share * (BOTTOM - TOP)
