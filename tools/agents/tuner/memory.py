"""What was seen of edits, as lines in lessons and notes of the archive, and read back from them.

A line is for people as much as for the next round: `tried tile run.block_v=16 x1.312; …`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .edits import EditKind, ProgramEdit

WORD = "tried"
_ENTRY = re.compile(
    rf"(?P<kind>{'|'.join(EditKind)}) (?P<site>[^\s=;]+)=(?P<value>[^\s;]*) "
    r"(?:x(?P<gain>\d+\.\d+)|(?P<end>failed|pruned|right))"
)


class EditEnd(StrEnum):
    """How a program with one edit was judged."""

    RIGHT = "right"
    PRUNED = "pruned"
    """It was not run: what was compiled, or the times of others, showed that it would be slow."""
    FAILED = "failed"
    """It was judged wrong, or did not build."""


@dataclass(frozen=True)
class EditOutcome:
    """What became of one edit on one program.

    Attributes:
        gain: time before over time after; None where nothing was timed.
    """

    kind: EditKind
    label: str
    gain: float | None
    end: EditEnd = EditEnd.RIGHT

    @property
    def failed(self) -> bool:
        """Whether the program was wrong."""
        return self.end is EditEnd.FAILED

    @property
    def place(self) -> str:
        """The place that was changed, wherever its program is a part of another."""
        return place_of(self.label)

    @property
    def value(self) -> str:
        """What was there afterwards."""
        return self.label.partition("=")[2]

    def gained(self, least: float = 1.01) -> bool:
        """Whether it made the program faster."""
        return self.gain is not None and self.gain >= least


def place_of(label: str) -> str:
    """The place of a label without the source in which it is."""
    return label.partition("=")[0].rpartition("::")[2]


def outcome_of(edit: ProgramEdit, gain: float | None, end: EditEnd = EditEnd.RIGHT) -> EditOutcome:
    """The outcome of an edit that was tried alone."""
    return EditOutcome(edit.kind, edit.label, gain if end is EditEnd.RIGHT else None, end)


def outcome_line(outcomes: Sequence[EditOutcome]) -> str:
    """The outcomes in a line, those that gained most first."""
    ordered = sorted(outcomes, key=lambda o: (o.failed, -(o.gain or 0.0)))
    said = [f"{o.kind} {o.label} {_end(o)}" for o in ordered]
    return f"{WORD} {'; '.join(said)}." if said else ""


def _end(outcome: EditOutcome) -> str:
    return str(outcome.end) if outcome.gain is None else f"x{outcome.gain:.3f}"


def outcome_lines(texts: Iterable[str]) -> list[tuple[EditOutcome, ...]]:
    """The lines of outcomes in lessons and notes, each once.

    Every candidate that a round kept has the round's line in its lesson.
    """
    parts = (part for text in texts for part in text.split(f"{WORD} "))
    lines = (tuple(_outcome(*e.groups()) for e in _ENTRY.finditer(part)) for part in parts)
    return [line for line in dict.fromkeys(lines) if line]


def outcomes_in(texts: Iterable[str]) -> list[EditOutcome]:
    """The outcomes that lessons and notes tell of; what several tell of is there once."""
    return [outcome for line in outcome_lines(texts) for outcome in line]


def _outcome(kind: str, site: str, value: str, gain: str | None, end: str | None) -> EditOutcome:
    known = float(gain) if gain else None
    return EditOutcome(EditKind(kind), f"{site}={value}", known, EditEnd(end or EditEnd.RIGHT))
