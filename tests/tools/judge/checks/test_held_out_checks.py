"""The calls of held-out cases: which are due, which fit, and what is said of them."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.checks.call_verdict import CallVerdict
from kernel_harness.tools.judge.checks.held_out_checks import HeldOutChecks
from kernel_harness.tools.judge.checks.time_budget import Estimate, TimeBudget
from kernel_harness.tools.judge.operators.held_out_cases import HeldOutCases
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.processes.progress import Cancellation, Reporter
from kernel_harness.tools.judge.trial_parts import TrialParts
from kernel_harness.tools.messages.judge import Checks
from kernel_harness.tools.schema.evaluation import Failure, Stage, Status
from kernel_harness.tools.workloads.held_out import TIMED, UNIFORM

from ....judging import AFFINE, make_plan, make_solution, read_definition

WRONG = Failure(stage=Stage.CORRECTNESS, kind="wrong_values", message="It is wrong.", remedy="r")
PUBLIC = {"alpha": 0.5}


def case(number: int, m: int, draw: str = "small", alpha: float = 0.7) -> Case:
    return Case(f"held-out-{number}", {"m": m}, None, {"alpha": alpha}, held_out=True, draw=draw)


class Trial:
    """Held-out checks whose calls are a function of the case."""

    def __init__(
        self,
        cases: list[Case],
        is_right=lambda case: True,
        *,
        legal: int | None = None,
        left_s: float = 60.0,
        size_seconds: float = 10.0,
        interpreted: bool = False,
        seconds_per_row: float = 0.0,
        operator: OperatorAdapter | None = None,
        replay: dict[str, list[int]] | None = None,
    ) -> None:
        self.called: list[str] = []
        self._is_right = is_right
        operator = operator or OperatorAdapter(read_definition(AFFINE), AFFINE)
        estimate = Estimate(1.0)
        for rows in (1, 1000):
            estimate.add(operator.cost(case(0, rows)).work, rows * seconds_per_row)
        context: Any = None
        solution = make_solution("def run(): pass", definition="affine_n64")
        checks = Checks(held_out=1, timed_held_out=2, size_seconds=size_seconds)
        parts = TrialParts(
            make_plan(solution, checks=checks),
            context,
            InputGenerator(
                operator, torch.device("cpu"), SeedBook(replay or {}), PrefetchedInputs(1 << 20)
            ),
            Reporter(lambda message: None, "ev"),
            Cancellation(),
            random.Random(7),
            time.monotonic() + left_s,
        )
        self.checks = HeldOutChecks(
            HeldOutCases(tuple(cases), {c.uuid: dict(PUBLIC) for c in cases}, legal),
            self._call,
            parts,
            TimeBudget(time.monotonic() + left_s, 60.0, interpreted, 1.0),
            estimate,
            time.monotonic(),
        )
        self.failed = self.checks.run()

    def _call(self, record: Any, input_set: Any) -> CallVerdict:
        self.called.append(record.case.uuid)
        right = self._is_right(record.case)
        verdict = CallVerdict(
            Status.PASSED if right else Status.INCORRECT_NUMERICAL, None if right else WRONG
        )
        record.status, record.failure = verdict.status, verdict.failure
        return verdict


def test_every_case_is_called_once_and_counted():
    cases = [case(0, 3), case(1, 4, TIMED), case(2, 5, UNIFORM), case(3, 6, UNIFORM)]
    trial = Trial(cases, legal=20)
    assert trial.called == [c.uuid for c in cases] and trial.failed is None
    found = trial.checks.result
    assert (found.called, found.uniform, found.left_out, found.legal) == (4, 2, 0, 20)
    assert found.chance == pytest.approx(1 - 17 / 18 * 16 / 17, abs=1e-3)
    assert trial.checks.not_run is None and trial.checks.to_time == [cases[1]]


@pytest.mark.parametrize("draw", ["small", TIMED, UNIFORM])
def test_the_first_case_that_fails_ends_it(draw):
    trial = Trial([case(0, 3), case(1, 4, draw), case(2, 5)], lambda c: c.axes["m"] != 4)
    assert trial.failed is not None and trial.failed.case.uuid == "held-out-1"
    assert "held-out-2" not in trial.called


def test_what_is_right_with_public_scalars_is_told_by_the_scalars_name():
    trial = Trial([case(0, 3)], lambda c: c.scalars == PUBLIC)
    assert trial.failed is not None and trial.failed.failure is not None
    assert "wrong with other values of 'alpha'" in trial.failed.failure.message
    assert "'alpha' as given" in trial.failed.failure.remedy


@pytest.mark.parametrize("alpha", [0.7, 0.5])
def test_what_is_wrong_with_public_scalars_too_is_no_matter_of_scalars(alpha):
    trial = Trial([case(0, 3, alpha=alpha)], lambda c: False)
    assert trial.failed is not None and trial.failed.failure == WRONG


@pytest.mark.parametrize("interpreted", [True, False])
def test_uniform_cases_but_one_end_with_their_time_and_chosen_ones_do_not(interpreted):
    cases = [case(0, 3), case(1, 4), case(2, 5, UNIFORM), case(3, 6, UNIFORM)]
    trial = Trial(cases, size_seconds=0.0, seconds_per_row=0.5, interpreted=interpreted)
    assert trial.called == ["held-out-0", "held-out-1", "held-out-2"]
    assert trial.checks.result.left_out == 1 and trial.checks.not_run is None


def test_without_a_gpu_a_large_size_is_left_out_and_smaller_ones_behind_it_are_called():
    cases = [case(0, 3), case(1, 900), case(2, 4), case(3, 800, UNIFORM), case(4, 5, UNIFORM)]
    trial = Trial(cases, interpreted=True, seconds_per_row=0.1)
    assert trial.called == ["held-out-0", "held-out-2", "held-out-4"]
    assert trial.checks.not_run is None and trial.checks.result.left_out == 1


@pytest.mark.parametrize("interpreted", [True, False])
def test_chosen_cases_that_did_not_fit_are_said(interpreted):
    trial = Trial([case(0, 3), case(1, 4)], left_s=0.0, interpreted=interpreted)
    assert not trial.called
    assert trial.checks.not_run == "2 of 2 held-out workloads did not fit into the budget"


@pytest.mark.parametrize(
    ("interpreted", "said"),
    [(True, None), (False, "1 of 2 held-out workloads did not fit into the budget")],
)
def test_one_chosen_case_is_enough_where_calls_are_slow_and_nowhere_else(
    monkeypatch, interpreted, said
):
    left = [60.0]
    monkeypatch.setattr(TimeBudget, "left_s", property(lambda self: left[0]))
    trial = Trial(
        [case(0, 3), case(1, 4)], lambda c: not left.__setitem__(0, 0.0), interpreted=interpreted
    )
    assert trial.called == ["held-out-0"] and trial.checks.not_run == said


def test_a_replay_calls_what_the_record_called():
    cases = [case(0, 3), case(1, 4, UNIFORM), case(2, 5, UNIFORM)]
    trial = Trial(cases, replay={"held-out-0": [1], "held-out-2": [2]}, size_seconds=0.0)
    assert trial.called[0] == "held-out-0" and "held-out-1" not in trial.called


def test_a_size_whose_inputs_cannot_be_made_is_not_held_against_anyone():
    operator = OperatorAdapter(read_definition(AFFINE))
    make = operator.make_inputs

    def only_even(case: Case, *rest: Any) -> Any:
        if case.axes["m"] % 2:
            raise ValueError("odd")
        return make(case, *rest)

    operator.make_inputs = only_even  # pyright: ignore[reportAttributeAccessIssue]
    operator.expected_outputs = lambda case, inputs: ({}, {})  # pyright: ignore[reportAttributeAccessIssue]
    trial = Trial([case(0, 3), case(1, 4), case(2, 6, UNIFORM)], operator=operator)
    assert trial.called == ["held-out-1", "held-out-2"] and trial.checks.not_run is None


def test_an_operator_that_says_its_sizes_is_held_to_them():
    operator = OperatorAdapter(read_definition(AFFINE), AFFINE)
    operator.make_inputs = lambda *given: 1 / 0  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ZeroDivisionError):
        Trial([case(0, 3)], operator=operator)
