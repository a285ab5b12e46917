"""Numbers and units as profilers print them, read back without losing a thousand on the way.

Nsight Compute prints numbers for people: grouped digits, the locale's decimal mark, units scaled
to something short. A value read wrongly by a factor of a thousand looks like a finding, so the
style of a whole table is decided from the values in it that leave no doubt, and every quantity is
brought to base units (byte, second, hertz) by the prefix of its unit.

What it cannot promise: a table in which every number is of the form "1.234" is read as English.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

_SPACES = "\u00a0\u202f\u2009 "
_APOSTROPHES = "'\u2019"
_NUMBER = re.compile(
    rf"^[+-]?(?:\d[\d.,{_SPACES}{_APOSTROPHES}]*\d|\d|[.,]\d+)[.,]?(?:[eE][+-]?\d+)?"
)
_UNIT_WORDS = {
    "s": "second",
    "sec": "second",
    "second": "second",
    "byte": "byte",
    "b": "byte",
    "hz": "hertz",
    "hertz": "hertz",
    "cycle": "cycle",
    "inst": "inst",
    "sector": "sector",
    "flop": "flop",
}
_SCALED = frozenset({"second", "byte", "hertz", "cycle", "inst", "sector", "flop"})
_PREFIXES = {
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "μ": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
}


@dataclass(frozen=True)
class NumberStyle:
    """How a table writes its numbers."""

    decimal: str = "."
    grouping: str = ","


ENGLISH = NumberStyle()
CONTINENTAL = NumberStyle(decimal=",", grouping=".")


@dataclass(frozen=True)
class Quantity:
    """A number in base units: seconds, bytes, hertz, or the tool's own word for the rest."""

    value: float
    unit: str = ""


def detect_style(texts: Iterable[str]) -> NumberStyle:
    """Decides how a table writes numbers, from those that can be read in one way only.

    Args:
        texts: every cell that may hold a number.

    Returns:
        The continental style when more cells demand it than demand the English one.
    """
    votes = 0
    for text in texts:
        match = _NUMBER.match(text.strip())
        if match:
            votes += _vote(match.group())
    return CONTINENTAL if votes < 0 else ENGLISH


def _vote(number: str) -> int:
    """+1 where only the English reading is possible, -1 where only the continental one is."""
    body = re.split(r"[eE]", number.lstrip("+-"))[0]
    point, comma = body.count("."), body.count(",")
    if point and comma:
        return 1 if body.rfind(".") > body.rfind(",") else -1
    if point > 1:
        return -1
    if comma > 1:
        return 1
    for mark, sign in ((".", 1), (",", -1)):
        if mark in body:
            whole, fraction = body.split(mark)
            grouped = len(fraction) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0")
            if not grouped:
                return sign
    return 0


def parse_number(text: str, style: NumberStyle = ENGLISH) -> float | None:
    """Reads the number at the start of a cell.

    Spaces, no-break spaces and apostrophes between digits group them in every style. What follows
    the number (instances in brackets, a mark) is left out.

    Returns:
        The value, or None for a cell without a finite number ("n/a", "nan", "").
    """
    cell = text.strip()
    match = _NUMBER.match(cell)
    if match is None or cell[match.end() : match.end() + 1].isalpha():
        return None
    digits = re.sub(f"[{_SPACES}{_APOSTROPHES}]", "", match.group())
    digits = digits.replace(style.grouping, "").replace(style.decimal, ".")
    try:
        value = float(digits)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def base_unit(unit: str) -> tuple[float, str]:
    """Finds the factor that brings a unit to its base, e.g. "Gbyte/s" to (1e9, "byte/second").

    Prefixes are decimal, as Nsight Compute documents them; words it does not know stay as they
    are with a factor of one.
    """
    factor = 1.0
    words: list[str] = []
    for position, part in enumerate(unit.strip().split("/")):
        scale, word = _base_word(part.strip())
        factor = factor * scale if position == 0 else factor / scale
        words.append(word)
    return factor, "/".join(words)


def _base_word(word: str) -> tuple[float, str]:
    known = _UNIT_WORDS.get(word.lower() if word not in ("M", "G", "K") else word)
    if known is not None:
        return 1.0, known
    if len(word) > 1 and word[0] in _PREFIXES:
        rest = _UNIT_WORDS.get(word[1:].lower())
        if rest in _SCALED:
            return _PREFIXES[word[0]], rest
    return 1.0, word


def quantity(text: str, unit: str, style: NumberStyle = ENGLISH) -> Quantity | None:
    """Reads a cell and brings it to base units.

    Returns:
        None when the cell holds no finite number.
    """
    value = parse_number(text, style)
    if value is None:
        return None
    factor, word = base_unit(unit)
    return Quantity(value * factor, word)
