"""The part of a text that is asked for: around a word, a source line or an address, or a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import RequestError

_ADDRESS = re.compile(r"0x([0-9a-fA-F]+)$")
_PLACE = re.compile(r"(?:[\w./-]*:)?(\d+)$")


@dataclass(frozen=True)
class CodeExcerpt:
    """Lines of a text with their numbers, and how many there are in all.

    Attributes:
        matches: lines that fit what was asked for; 0 for a page.
        next_offset: where the next page begins; None where nothing is left.
    """

    lines: list[tuple[int, str]]
    total: int
    matches: int = 0
    next_offset: int | None = None


def excerpt(text: Sequence[str], around: str, offset: int, most: int) -> CodeExcerpt:
    """Lines of a text.

    Args:
        around: a word or regular expression, a source line ('kernel.py:12' or '12') or an address
            ('0x490'); empty: a page.
        offset: of a page, its first line; else how many matches are passed over.

    Raises:
        RequestError: when nothing fits.
    """
    if not around:
        page = list(enumerate(text))[offset : offset + most]
        left = offset + len(page) < len(text)
        return CodeExcerpt(page, len(text), next_offset=offset + len(page) if left else None)
    hits = [number for number, line in enumerate(text) if _fits(line, around)]
    if not hits:
        raise RequestError(
            f"No line of {len(text)} has {around!r}",
            remedy="Ask for an opcode (LDG), a word, a source line ('kernel.py:12') or 0x address.",
        )
    kept: set[int] = set()
    shown = 0
    for hit in hits[offset:]:
        near = set(range(max(0, hit - 2), min(len(text), hit + 3)))
        if kept and len(kept | near) > most:
            break
        kept |= near
        shown += 1
    after = offset + shown
    return CodeExcerpt(
        [(number, text[number]) for number in sorted(kept)],
        len(text),
        matches=len(hits),
        next_offset=after if after < len(hits) else None,
    )


def _fits(line: str, around: str) -> bool:
    if address := _ADDRESS.match(around):
        return line.startswith(f"{int(address.group(1), 16):05x} ")
    if place := _PLACE.match(around):
        number = place.group(1)
        return bool(re.search(rf"[\w.\"]:{number}\b|\.loc\s+\d+ {number}\b", line))
    try:
        return bool(re.search(around, line, re.IGNORECASE))
    except re.error:
        return around.lower() in line.lower()
