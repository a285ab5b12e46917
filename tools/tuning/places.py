"""A piece of a source that is one constant's value, and the source with other texts there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ValuePlace:
    """A constant's value in a source.

    Attributes:
        start: of the piece, in characters; `end` is behind it.
        written: the piece as it is.
        answers: it is the body of a function, which the value becomes the answer of.
    """

    start: int
    end: int
    written: str
    answers: bool = False


Edit = tuple[ValuePlace, str]
"""A place, and what is to be written there."""


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with each place replaced; places do not overlap."""
    for place, new in sorted(edits, key=lambda edit: -edit[0].start):
        text = text[: place.start] + new + text[place.end :]
    return text


def moved(edits: Sequence[Edit]) -> list[ValuePlace]:
    """The places in the edited text."""
    found, shift = [], 0
    for place, new in sorted(edits, key=lambda edit: edit[0].start):
        start = place.start + shift
        found.append(ValuePlace(start, start + len(new), new, place.answers))
        shift += len(new) - (place.end - place.start)
    return found
