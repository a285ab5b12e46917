"""What a compile check tells of targets that a candidate cannot be built for."""

from __future__ import annotations

from kernel_harness.tools.judge.checks.static_check import (
    in_order,
    target_failure,
    with_local,
)

PLACE = "kernel.py:7: no such op\n    z = tl.nosuch(i)"


def test_the_message_says_which_line_and_for_which_targets():
    told = in_order({"sm_90": PLACE, "sm_100": PLACE}, ["sm_100", "sm_90"])
    failure = target_failure(dict(told))
    assert failure.message == "It does not compile for sm_100 and sm_90: kernel.py:7: no such op"


def test_equal_words_of_two_targets_are_shown_once():
    assert target_failure({"sm_90": PLACE, "sm_100": PLACE}).excerpt == f"sm_90, sm_100:\n{PLACE}"
    other = target_failure({"sm_90": PLACE, "sm_100": "kernel.py:9: no"}).excerpt or ""
    assert "sm_90:\nkernel.py:7" in other
    assert "sm_100:\nkernel.py:9" in other


def test_control_characters_of_a_compiler_reach_nobody():
    failure = target_failure({"sm_90": "\x1b[31mkernel.py:1: red\x1b[0m"})
    assert "\x1b" not in failure.message + (failure.excerpt or "")


def test_the_device_at_hand_is_a_target_unless_it_is_one_already():
    both = ["sm_90", "sm_100"]
    assert with_local(both, "8.0") == [*both, "sm_80"]
    assert with_local(both, "9.0") == both
    assert with_local(["sm_90a"], "9.0") == ["sm_90a"]
    assert with_local(both, None) == both
    assert with_local([], "9.0") == []
