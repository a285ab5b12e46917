"""One change of a program, by its place in the syntax, and the program with some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class EditKind(StrEnum):
    """What an edit changes; what is known of one edit says something of others of its kind."""

    TILE = "tile"
    WARPS = "warps"
    STAGES = "stages"
    LOOP = "loop"
    EVICTION = "eviction"
    CACHE = "cache"
    ORDER = "order"
    UNROLL = "unroll"
    BOUNDS = "launch-bounds"


@dataclass(frozen=True)
class Replacement:
    """A piece of a source, in characters, and the text that takes its place."""

    path: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class ProgramEdit:
    """One change of a program.

    Attributes:
        site: the place by its names, which the same program with other values has, too.
        value: what is there afterwards.
        was: what is there now; empty where nothing is.
    """

    kind: EditKind
    site: str
    value: str
    was: str
    replacements: tuple[Replacement, ...]

    @property
    def label(self) -> str:
        """The place and its new value, without blanks: one edit of the program's has it."""
        return f"{self.site}={self.value}".replace(" ", "").replace(";", ",")


def with_edits(sources: Mapping[str, str], edits: Sequence[ProgramEdit]) -> dict[str, str] | None:
    """The sources by path with the edits made; None where two of them change the same place."""
    pieces = [piece for edit in edits for piece in edit.replacements]
    if len({edit.site for edit in edits}) < len(edits):
        return None
    changed = dict(sources)
    for path in {piece.path for piece in pieces}:
        here = sorted((p for p in pieces if p.path == path), key=lambda p: (p.start, p.end))
        for first, second in zip(here, here[1:], strict=False):
            if second.start < first.end:
                return None
        text = sources[path]
        for piece in reversed(here):
            text = text[: piece.start] + piece.text + text[piece.end :]
        changed[path] = text
    return changed


def powers_near(value: int, most: int = 8192) -> list[int]:
    """Halves and doubles of a power of two, and the neighbours of another small number."""
    if value >= 1 and value & (value - 1) == 0:
        near = [value // 4, value // 2, 2 * value, 4 * value]
    else:
        near = [value - 1, value + 1] if 2 < value < 16 else []
    return [number for number in near if 1 <= number <= most]
