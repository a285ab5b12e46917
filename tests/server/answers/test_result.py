"""Answers filled from domain records."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from kernel_harness.server.answers.result import Result, first, short


class Kind(StrEnum):
    LOOP = "loop"


@dataclass(frozen=True)
class Inner:
    kind: Kind
    secret: str


@dataclass(frozen=True)
class Record:
    name: str
    parts: tuple[Inner, ...]
    note: str = ""
    secret: str = "hidden"


class InnerPart(Result):
    kind: str


class RecordPart(Result):
    name: Annotated[str, short(5)]
    parts: Annotated[list[InnerPart], first(2)] = Field(default_factory=list)
    note: str | None = None


def test_only_declared_fields_of_a_record_and_its_parts_are_copied() -> None:
    part = RecordPart.of(Record("x", (Inner(Kind.LOOP, "hidden"),)))
    assert part.model_dump_json() == '{"name":"x","parts":[{"kind":"loop"}]}'


def test_texts_and_lists_are_cut_to_what_their_fields_allow() -> None:
    part = RecordPart.of(Record("x" * 9, (Inner(Kind.LOOP, ""),) * 3))
    assert part.name == "xxxx…"
    assert len(part.parts) == 2


def test_changes_come_before_attributes_and_must_be_declared() -> None:
    record = Record("x", ())
    assert RecordPart.of(record, name="y").name == "y"
    with pytest.raises(ValidationError):
        RecordPart.of(record, secret="hidden")


class Exact(Result):
    digits = 17
    due: float


class Measured(Result):
    latency_us: float
    floors: dict[str, float] = Field(default_factory=dict)
    rows: list[float | Exact] = Field(default_factory=list)


def test_measured_numbers_have_four_digits_unless_a_part_says_otherwise() -> None:
    part = Measured(
        latency_us=12.345678, floors={"H200": 0.21975333}, rows=[1e9 / 3, Exact(due=1 / 3)]
    )
    assert part.model_dump() == {
        "latency_us": 12.35,
        "floors": {"H200": 0.2198},
        "rows": [333300000.0, {"due": 1 / 3}],
    }
