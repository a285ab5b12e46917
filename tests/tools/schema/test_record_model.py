"""Texts of records: made printable when a record is made or read, at any depth."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_harness.tools.schema.evaluation import Failure, Finding, Severity, Stage
from kernel_harness.tools.schema.record_model import RecordModel

HOSTILE = "a\x1b[31mb\x1b]8;;http://x\x07c\u202ed\x00e\rf\u200b"


class Part(RecordModel):
    words: str = ""
    listed: list[str] = []
    nested: dict[str, Any] = {}
    pair: tuple[str, int] = ("", 0)
    numbers: list[float] = []


def printable(value: Any) -> bool:
    if isinstance(value, str):
        return all(c.isprintable() or c in "\n\t" for c in value)
    if isinstance(value, dict):
        return all(printable(k) and printable(v) for k, v in value.items())
    return all(map(printable, value)) if isinstance(value, list | tuple) else True


@pytest.mark.parametrize("read", [Part.model_validate, lambda raw: Part(**raw)])
def test_every_text_of_a_record_is_printable(read: Any) -> None:
    raw = {
        "words": HOSTILE,
        "listed": ["", HOSTILE],
        "nested": {HOSTILE: [{"x": [HOSTILE]}, 1], "y": (HOSTILE,)},
        "pair": (HOSTILE, 1),
        "numbers": [1.0, 2.0],
    }
    made = read(raw)
    assert printable(made.model_dump()) and made.numbers == [1.0, 2.0]
    assert made.words.startswith("abcde\nf") and made == read(made.model_dump())


def test_what_a_compiler_or_candidate_says_is_shown_safely() -> None:
    failure = Failure(
        stage=Stage.COMPILE, kind="k", message=HOSTILE, remedy=HOSTILE, excerpt=HOSTILE
    )
    finding = Finding(
        claim="c", severity=Severity.NOTE, message=HOSTILE, evidence={"of": [HOSTILE]}
    )
    assert printable(failure.model_dump()) and printable(finding.model_dump())
