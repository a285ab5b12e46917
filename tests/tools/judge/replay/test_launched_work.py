"""Kernels of a plan are those of ordinary calls, or it is said which are not."""

import pytest

from kernel_harness.tools.judge.replay.launched_work import (
    MOST_NAMES,
    of_any_build,
    other_launches,
    unseen_kernels,
)
from kernel_harness.tools.messages.candidate import Activity

from ...messages.plans import kernel, plan_of


def launched(name: str = "first", grid: int = 1, block: int = 32) -> Activity:
    return Activity(name=name, start_ns=0, end_ns=1, grid=[grid, 1, 1], block=[block, 1, 1])


COPY = Activity(name="memcpy 64 bytes", start_ns=0, end_ns=1)
PLAN = plan_of(b"cubin", nodes=[kernel(), kernel(function="second", grid=(4, 1, 1)), kernel()])[0]


def test_the_same_launches_in_another_order_agree_and_copies_do_not_count():
    found = [launched("second", 4), COPY, launched(), launched()]
    assert other_launches(PLAN, found) is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([launched("second", 4), launched()], "first with grid [1, 1, 1] 1 time fewer"),
        ([launched("second", 4), *[launched()] * 4], "first with grid [1, 1, 1] 2 times more"),
        ([launched("second", 2), launched(), launched()], "second with grid [2, 1, 1]"),
        ([launched("second", 4), launched(block=64), launched()], "first"),
        ([], "fewer often"),
    ],
)
def test_what_an_ordinary_call_launches_more_or_less_often_is_named(found, words):
    assert words in (other_launches(PLAN, found) or "")


def test_a_kernel_that_a_process_never_launched_is_named():
    assert unseen_kernels(PLAN, {"first", "second", "of another call"}) is None
    assert "second" in (unseen_kernels(PLAN, {"first"}) or "")


def test_nothing_is_said_of_a_process_that_launched_more_kernels_than_can_be_told():
    assert unseen_kernels(PLAN, {f"k{number}" for number in range(MOST_NAMES)}) is None


def test_a_files_own_kernel_has_one_name_in_all_builds():
    one = "_ZN57_GLOBAL__N__8b31a5c2_9_kernel_cu_6b5c7f28_123456k1Ef"
    two = "_ZN55_GLOBAL__N__01234567_9_kernel_cu_89abcdef_12346k1Ef"
    assert of_any_build(one) == of_any_build(two)
    assert of_any_build(one) != of_any_build(one.replace("k1E", "k2E"))
    assert of_any_build("_Z5firstPf") == "_Z5firstPf"
