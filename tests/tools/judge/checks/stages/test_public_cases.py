"""The plan's workloads: in order, at new addresses and old ones, and after a failure only some."""

from __future__ import annotations

import pytest

from kernel_harness.tools.judge.calls.judged_call import CallOptions
from kernel_harness.tools.judge.calls.shared_memory import Layout
from kernel_harness.tools.judge.checks import time_budget
from kernel_harness.tools.judge.checks.stages import public_cases
from kernel_harness.tools.judge.checks.stages.public_cases import PublicCases
from kernel_harness.tools.judge.operators.input_sets import InputSet
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.schema.evaluation import Status

from ...scripted import Compute, ScriptedSession, honest
from .stage import CASES, Stage


def wrong(x, w, table, alpha):
    y, row = honest(x, w, table, alpha)
    return y * 1.5, row


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a slow machine checks what a quick one does."""
    monkeypatch.setattr(public_cases, "CHEAP_CALL_S", 60.0)
    monkeypatch.setattr(public_cases, "DEEP_CALL_S", 60.0)
    monkeypatch.setattr(time_budget, "AFTER_FAILURE_S", 600.0)


def checked(
    compute: Compute = honest, lost_at: tuple[int, ProcessLost] | None = None
) -> tuple[Stage, int]:
    """The stage, and how often a right first call was told of."""
    told: list[int] = []
    stage = Stage(ScriptedSession(compute, lost_at=lost_at))
    public = PublicCases(stage.calls, stage.parts, lambda: told.append(1))
    public.run(CASES)
    return stage, len(told)


def places(request: wire.CallRequest) -> list[int]:
    return [one.offset for one in request.arguments if isinstance(one, wire.TensorRef)]


def test_a_right_candidate_passes_every_workload_with_each_kind_of_inputs():
    stage, told = checked()
    records = stage.calls.records
    assert list(records) == [case.uuid for case in CASES] and told == len(CASES)
    assert all(record.passed and not record.failure for record in records.values())
    assert {record.calls for record in records.values()} == {4}  # two fresh, perturbed, a family
    assert stage.calls.failed is None and not stage.calls.not_run


def test_perturbed_inputs_lie_where_those_of_the_call_before_lay_and_fresh_ones_do_not():
    stage, _ = checked()
    first, second, perturbed, family = map(places, stage.session.requests[:4])
    assert perturbed == second
    assert first != second and family != perturbed


def test_outputs_hold_another_pattern_before_each_call(monkeypatch: pytest.MonkeyPatch):
    stage = Stage(ScriptedSession(honest))
    made, call = [], stage.calls.judged_call.call

    def noted(input_set: InputSet, options: CallOptions, layout: Layout | None = None):
        made.append(options.poison)
        return call(input_set, options, layout)

    monkeypatch.setattr(stage.calls.judged_call, "call", noted)
    PublicCases(stage.calls, stage.parts, lambda: None).run(CASES[:1])
    assert made in ([0, 1, 0, 1], [1, 0, 1, 0])


def test_wrong_values_are_looked_for_on_the_other_workloads_too():
    stage, told = checked(wrong)
    assert [r.status for r in stage.calls.records.values()] == [Status.INCORRECT_NUMERICAL] * 3
    assert stage.calls.failed is stage.calls.records[CASES[0].uuid] and told == 0
    assert {r.calls for r in stage.calls.records.values()} == {1}


def test_after_a_crash_no_other_workload_is_run():
    stage, told = checked(lost_at=(1, ProcessLost("crash", "It died.", -11)))
    first, *others = stage.calls.records.values()
    assert first.status is Status.RUNTIME_ERROR and first.failure is not None and told == 0
    assert [(r.status, r.reason) for r in others] == [
        (Status.NOT_RUN, "an earlier workload failed")
    ] * 2
    assert len(stage.session.requests) == 1


def test_a_workload_that_fails_later_keeps_what_was_right_before():
    stage, told = checked(lost_at=(6, ProcessLost("crash", "It died.", -11)))
    first, second, third = stage.calls.records.values()
    assert first.passed and second.status is Status.RUNTIME_ERROR and told == 2
    assert third.status is Status.NOT_RUN
