"""The rules on held-out sizes: how many were called, and whether the gain is there, too."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_harness.tools.archive.promotion.held_out_rules import sizes_called, speed_on_held_out
from kernel_harness.tools.archive.promotion.rule_outcome import Rules
from kernel_harness.tools.schema.drawn_inputs import HeldOutResult
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.schema.measurement import TimeSource

ENOUGH = HeldOutResult(called=71, uniform=59, chance=0.9515)


@pytest.fixture
def records(trial):
    def make(*held_out: HeldOutResult | None, **more: Any) -> list[Evaluation]:
        made = [trial(f"e{n}", **more)[1] for n in range(len(held_out))]
        evidence = made[0].evidence.model_copy(update={"checks": {"timed_held_out": 6}})
        return [
            record.model_copy(update={"held_out": result, "evidence": evidence})
            for record, result in zip(made, held_out, strict=True)
        ]

    return make


def test_one_repeat_that_called_enough_sizes_is_enough(records):
    few = HeldOutResult(called=20, uniform=10, chance=0.4)
    outcome = sizes_called(records(few, ENOUGH), Rules(), timed=True)
    assert outcome.passed and outcome.number == 0.9515
    assert "71 held-out sizes, 59 drawn uniformly" in outcome.words


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            HeldOutResult(called=20, uniform=10, chance=0.4),
            "40.0% probability, 95% wanted",
        ),
        (HeldOutResult(called=71, uniform=59, chance=0.96, left_out=3), "3 more were left out"),
        (None, "no repeat says"),
    ],
)
def test_too_few_sizes_refuse_a_promotion_on_a_gpu_and_are_told_without_one(records, result, words):
    refused = sizes_called(records(result), Rules(), timed=True)
    assert refused.applied and not refused.passed and words in refused.words
    told = sizes_called(records(result), Rules(), timed=False)
    assert not told.applied and told.words == refused.words


def test_where_no_other_size_can_be_made_the_rule_is_not_applied(records):
    outcome = sizes_called(records(HeldOutResult(called=2, legal=0)), Rules(), timed=True)
    assert not outcome.applied and "other sizes" in outcome.words


@pytest.mark.parametrize(
    ("on_public", "on_held_out", "passed"),
    [
        (2.0, 1.9, True),
        (2.0, 1.4, True),
        (2.0, 1.0, False),
        (1.1, 1.04, True),
        (1.1, 1.0, False),
        (0.9, 0.99, True),
        (0.5, 0.8, False),
    ],
)
def test_a_gain_on_the_public_sizes_alone_is_refused_with_both_ratios(
    records, on_public, on_held_out, passed
):
    result = ENOUGH.model_copy(update={"timed": 6, "ratio": on_held_out})
    outcome = speed_on_held_out(records(result, result, ratio=on_public), Rules(), 0.004)
    assert outcome.applied and outcome.passed is passed
    assert outcome.number == pytest.approx(on_held_out) and f"{on_public:.4f}" in outcome.words


def test_held_out_sizes_that_were_to_be_timed_and_were_not_refuse(records):
    outcome = speed_on_held_out(records(ENOUGH), Rules(), 0.0)
    assert outcome.applied and not outcome.passed and "no ratio" in outcome.words


def test_the_ratios_of_all_repeats_count_and_each_must_have_one(records):
    fast, slow = (ENOUGH.model_copy(update={"timed": 6, "ratio": r}) for r in (1.9, 0.9))
    outcome = speed_on_held_out(records(fast, slow, ratio=2.0), Rules(), 0.0)
    assert not outcome.passed and outcome.number == pytest.approx((1.9 * 0.9) ** 0.5)
    untimed = speed_on_held_out(records(fast, ENOUGH, ratio=2.0), Rules(), 0.0)
    assert not untimed.passed and "no ratio" in untimed.words


def test_speed_is_not_asked_of_a_verification_that_timed_no_held_out_size(records):
    (record,) = records(ENOUGH)
    bare = record.model_copy(update={"evidence": record.evidence.model_copy(update={"checks": {}})})
    assert not speed_on_held_out([bare], Rules(), 0.0).applied


def test_sealed_times_on_public_sizes_ask_for_sealed_ones_on_held_out_sizes(records):
    result = ENOUGH.model_copy(update={"timed": 6, "ratio": 1.9})
    (record,) = records(result, ratio=2.0)
    sealed = [
        w.model_copy(
            update={"measurement": w.measurement.model_copy(update={"clock": TimeSource.SEALED})}
        )
        for w in record.workloads
    ]
    record = record.model_copy(update={"workloads": sealed})
    outcome = speed_on_held_out([record], Rules(), 0.0)
    assert not outcome.passed and "claimed ones on held-out sizes" in outcome.words
    both = result.model_copy(update={"sealed": True})
    assert speed_on_held_out([record.model_copy(update={"held_out": both})], Rules(), 0.0).passed
