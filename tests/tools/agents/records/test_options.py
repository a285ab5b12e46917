"""What a user asks of a search, read from a command line."""

from __future__ import annotations

import pytest

from kernel_harness.tools.agents.records.options import goal_of, roles_of
from kernel_harness.tools.errors import RequestError


@pytest.mark.parametrize(
    ("text", "speedup", "percent", "reached"),
    [
        ("2.0x", 2.0, None, True),
        ("2x", 1.99, 99.0, False),
        ("90%-of-floor", None, 91.0, True),
        ("90%-of-floor", 5.0, None, False),
        ("2X", None, None, False),
    ],
)
def test_a_goal_is_a_speedup_or_a_share_of_the_floor(text, speedup, percent, reached):
    assert goal_of(text).reached(speedup, percent) is reached


@pytest.mark.parametrize("text", ["2", "x", "-1x", "90%", "infx", "2.0x of the baseline"])
def test_what_is_no_goal_is_refused(text):
    with pytest.raises(RequestError, match="no goal"):
        goal_of(text)


def test_roles_are_single_or_some_that_write():
    assert roles_of("plan, code,debug") == ["plan", "code", "debug"]
    assert roles_of("single") == ["single"]
    for text in ("", "debug", "single,plan", "plan,review"):
        with pytest.raises(RequestError):
            roles_of(text)
