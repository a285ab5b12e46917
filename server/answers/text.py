"""Shortens answers to the budget, and formats numbers, axes, tables and counts for them.

No answer grows with the operator or the archive: rows are left out until it fits, and the answer
says how many and where they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from ...tools.text import shorten
from .result import Answer

BUDGET_CHARACTERS = 24_000
"""Of JSON, in bytes: under 8,000 tokens at three a token, pessimistic for names and numbers; a
letter of another script is about three bytes and about one token."""

CONCISE_CHARACTERS, PAGE_CHARACTERS = 2_000, 3_600
"""Of JSON: 500 and 900 tokens, at four characters each."""
LONGEST_TEXT = 8_000
NOTEWORTHY = 0.5
"""Share of a budget of time from which the budgets are told."""
BUDGETED = {"building": ("candidate_build", "build")} | {
    who: (who, who) for who in ("reference", "candidate")
}
"""Who has a budget of time: the stage that it is spent in, and the name of the budget."""
SHORTEST_TEXT = 60

_SENTENCE = re.compile(r"\.(?= [A-Z])")
Detail = Literal["concise", "detailed"]
A = TypeVar("A", bound=Answer)


def fitted(build: Callable[[int], A], most: int, *, concise: bool = False) -> A:
    """The answer with as many rows as fit the budget, every text in it fit to be shown.

    Args:
        build: makes the answer with at most that many rows.
        most: rows to begin with.
        concise: whether the budget is that of a short answer, which is made tighter step by step.
    """

    def too_long(answer: A) -> bool:
        written = answer.model_dump_json()
        if concise:
            return len(written) > CONCISE_CHARACTERS
        return len(written.encode()) > BUDGET_CHARACTERS

    rows, longest = most, LONGEST_TEXT
    answer = _shortened(build(rows), longest)
    while too_long(answer):
        if rows > 0:
            rows = rows - 1 if concise else min(rows - 1, int(rows * 0.7))
        elif longest > SHORTEST_TEXT:
            longest //= 2
        else:
            break
        answer = _shortened(build(rows), longest)
    return answer


def short_page(build: Callable[[int], Answer], most: int, least: int) -> int:
    """The rows of a page that nobody asked more rows of: those of many fields are fewer."""
    rows = most
    while rows > least and len(build(rows).model_dump_json()) > PAGE_CHARACTERS:
        rows -= 1
    return rows


def _shortened(answer: A, longest: int) -> A:
    """The answer with every text cut, and without terminal escape sequences."""

    def shorter(value: Any) -> Any:
        if isinstance(value, str):
            return shorten(value, longest)
        if isinstance(value, list):
            return [shorter(part) for part in value]
        if isinstance(value, dict):
            return {shorter(name): shorter(part) for name, part in value.items()}
        return value

    return type(answer).model_validate(shorter(answer.model_dump()))


def cut(text: str | None, most: int) -> str | None:
    """The text shortened to `most` characters; None for no text and for an empty one."""
    return shorten(text, most) or None if text else None


def sentences(text: str, most: int) -> str:
    """The first sentences of a text that `most` characters hold; of a longer one its two ends."""
    plain = shorten(text, len(text) + 1)
    if len(plain) <= most:
        return plain
    ends = [found.end() for found in _SENTENCE.finditer(plain) if found.end() <= most]
    return plain[: ends[-1]] if ends else shorten(plain, most)


def microseconds(value: float | None) -> str:
    """A latency as people read it: three significant figures and the unit."""
    if value is None:
        return "no latency"
    return f"{number(value)} µs"


def number(value: float | None) -> str:
    """Three significant figures without exponents where they can be avoided."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or 0.001 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) < 1e9 and abs(value) >= 1000 else f"{value:.2e}"


def axes_words(axes: Mapping[str, int]) -> str:
    """Axis values on one line."""
    return " ".join(f"{name}={value}" for name, value in axes.items())


def budget_words(seconds: Mapping[str, float], budgets: Mapping[str, float]) -> str | None:
    """Whose time was spent, of how much, when any of it came near its end; None otherwise.

    Args:
        seconds, budgets: of a record's evidence.
    """
    spent = [
        (who, seconds[stage], budgets[name])
        for who, (stage, name) in BUDGETED.items()
        if stage in seconds and name in budgets
    ]
    if all(used < NOTEWORTHY * granted for _, used, granted in spent):
        return None
    said = ", ".join(f"{who} {used:.1f} s of {granted:g}" for who, used, granted in spent)
    return f"Time, each of its own budget: {said}."


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A small table in plain text, columns as wide as they must be."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def lines(*parts: str | None) -> str:
    """Joins the lines that are there."""
    return "\n".join(part for part in parts if part)


def showing(shown: int, total: int, how: str) -> str | None:
    """Says that not all is shown, and how to see the rest; None when all is."""
    return None if shown >= total else f"Showing {shown} of {total}; {how}"


def time_words(us: float) -> str:
    """A time with its unit."""
    return f"{us / 1000:.2f} ms" if abs(us) >= 1000 else f"{us:.1f} µs"


def table_lines(rows: list[tuple[str, ...]], left: int) -> list[str]:
    """Rows as lines with columns, of which one is aligned to the left.

    Args:
        rows: the head first.
        left: the position of that column.
    """
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if n == left else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
