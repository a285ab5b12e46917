"""What a record says of workloads that its scope asks for and that were not run."""

from __future__ import annotations

import pytest

from kernel_harness.tools.judge.evaluation_record import not_run_words
from kernel_harness.tools.schema.evaluation import Status, WorkloadResult
from kernel_harness.tools.schema.measurement import Measurement


def result(status: Status, **fields) -> WorkloadResult:
    return WorkloadResult(uuid="w", axes={}, status=status, **fields)


TIMED = result(Status.PASSED, measurement=Measurement(timer="cupti", cold_ns=[5]))
UNTIMED = result(Status.PASSED, reason="the budget was used up")
LEFT = result(Status.NOT_RUN, reason="no time")


@pytest.mark.parametrize(
    ("results", "left_out", "held_out", "timed", "words"),
    [
        ([TIMED, TIMED], [], "", True, ""),
        ([UNTIMED, UNTIMED], [], "", False, ""),
        ([TIMED, LEFT], [], "", True, "1 of 2 workloads were not run: no time"),
        ([TIMED], ["a", "b"], "", True, "2 of the 3 workloads of the scope were not asked for"),
        ([TIMED], [], "1 held-out case is left", True, "1 held-out case is left"),
        ([TIMED, UNTIMED], [], "", True, "1 of 2 were not timed: the budget was used up"),
    ],
)
def test_only_what_ran_to_its_end_needs_no_words(results, left_out, held_out, timed, words):
    assert not_run_words(results, left_out, held_out, timed=timed) == words
