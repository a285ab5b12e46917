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


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("A100", "A100-SXM-40GB, A100-SXM-80GB, sm_100."),
        ("h100", "H100-PCIe, H100-SXM, sm_100."),
        ("sm_10", "sm_100."),
        ("", "A100-SXM-40GB, A100-SXM-80GB, H100-PCIe, H100-SXM, H200."),
    ],
)
def test_names_that_begin_as_the_unknown_one_are_the_nearest(name, nearest):
    known = ["H200", "H100-SXM", "H100-PCIe", "A100-SXM-80GB", "A100-SXM-40GB", "sm_100"]
    assert f"Nearest: {nearest}" in str(unknown_name("target", name, known))
