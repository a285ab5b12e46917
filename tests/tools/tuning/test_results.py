"""What a variant's records say of it, together."""

from __future__ import annotations

import pytest

from kernel_harness.tools.schema.evaluation import (
    Evaluation,
    Scope,
    StaticCheck,
    Status,
)
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.tuning.results import VariantResult, VariantState
from kernel_harness.tools.tuning.variants import Variant
from tests.records import FAILURE, make_record


def record(identity: str, status: Status) -> Evaluation:
    failure = FAILURE.model_copy(update={"message": identity})
    return make_record(
        status,
        evaluation_id=identity,
        scope=Scope.SMOKE,
        failure=None if status is Status.PASSED else failure,
    )


@pytest.fixture
def result() -> VariantResult:
    return VariantResult(Variant("v", Solution.model_construct()))


@pytest.mark.parametrize("later", [Status.PASSED, Status.NOT_JUDGED])
def test_who_is_wrong_at_one_size_has_failed_whatever_ended_later(
    result: VariantResult, later: Status
):
    """Two finals of one variant are under way at once: the one that it fails may end first."""
    result.take(record("ev-1", Status.INCORRECT_NUMERICAL))
    result.take(record("ev-2", later))
    assert result.state is VariantState.FAILED
    assert result.words == "INCORRECT_NUMERICAL: ev-1" and result.evaluations == ["ev-2", "ev-1"]


def test_what_was_undecided_before_is_what_the_next_record_says(result: VariantResult):
    result.take(record("ev-1", Status.NOT_JUDGED))
    assert result.state is VariantState.UNDECIDED
    result.take(record("ev-2", Status.PASSED))
    assert result.state is VariantState.PASSED and not result.words


def test_a_variant_of_which_nothing_was_compiled_says_why(result: VariantResult):
    said = "The call reached no Triton launch: TypeError"
    check = StaticCheck(status="unavailable", reason=said)
    changes = {"scope": Scope.STATIC, "static": check}
    found = record("ev-1", Status.PASSED).model_copy(update={**changes, "status": Status.COMPILED})
    result.take(found)
    assert result.state is VariantState.UNDECIDED and result.words == said
