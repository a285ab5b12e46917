"""Errors quote what somebody else wrote: printable, and never whole when it is long."""

from __future__ import annotations

import pytest

from kernel_harness.tools.errors import HarnessError, RequestError, unknown_name

HOSTILE = "a\x1b[31mb\x1b]8;;http://x\x07c\u202ed\x00e\rf"


@pytest.mark.parametrize("error", [HarnessError, RequestError])
def test_no_part_of_an_error_moves_a_cursor(error):
    made = error(f"No {HOSTILE}", where=HOSTILE, remedy=HOSTILE)
    assert all(c.isprintable() or c == "\n" for c in str(made))
    assert made.what == "No abcde\nf"


def test_an_argument_of_any_length_is_not_echoed_whole():
    long = "x" * 70_000
    assert len(str(RequestError(f"{long!r} is no name", where=long, remedy=long))) < 5_000
    assert len(str(unknown_name("candidate", long, ["known"]))) < 500
