"""Folded tests run every case and name those that fail."""

from __future__ import annotations

import inspect

import pytest

from .folding import for_each


def test_every_case_is_tried_and_those_that_fail_are_named():
    tried = []

    @for_each("number, due", [(1, 1), (2, 3), (4, 5)], ids=lambda case: f"case {case[0]}")
    def equals(number: int, due: int, tmp_path: str):
        tried.append((number, tmp_path))
        assert number == due

    assert list(inspect.signature(equals).parameters) == ["tmp_path"]
    with pytest.raises(BaseExceptionGroup, match="2 of 3 cases") as caught:
        equals(tmp_path="here")
    assert tried == [(1, "here"), (2, "here"), (4, "here")]
    notes = [error.__notes__ for error in caught.value.exceptions]
    assert notes == [["in the case case 2"], ["in the case case 4"]]


def test_what_should_have_been_raised_is_a_case_that_fails():
    @for_each("text", ["1", "x"])
    def refused(text: str):
        with pytest.raises(ValueError):
            int(text)

    with pytest.raises(BaseExceptionGroup, match="1 of 2 cases"):
        refused()


def test_there_are_cases():
    with pytest.raises(AssertionError, match="no cases"):
        for_each("text", [])
