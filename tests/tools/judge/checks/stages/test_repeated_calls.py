"""Further calls of what was right: how alike they are, and whether its own kernels do the work."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.checks.integrity import DECOY
from kernel_harness.tools.judge.checks.stages.public_cases import PublicCases
from kernel_harness.tools.judge.checks.stages.repeated_calls import RepeatedCalls
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.schema.evaluation import Status

from ...scripted import Compute, ScriptedSession, honest
from .stage import CASES, Stage


class Disabled(ScriptedSession):
    """Answers a call with its kernels disabled as it is told to; None: as any other call."""

    def __init__(self, answer: Any = None, compute: Compute = honest) -> None:
        super().__init__(compute)
        self.disabled = answer

    def _call(self, request: wire.CallRequest) -> wire.Called | ProcessLost:
        if request.disable_own_kernels and self.disabled is not None:
            return self.disabled
        return super()._call(request)


def passed(session: ScriptedSession, **checks: Any) -> tuple[Stage, RepeatedCalls]:
    """A stage whose workloads have been checked."""
    stage = Stage(session, **checks)
    PublicCases(stage.calls, stage.parts, lambda: None).run(CASES)
    assert stage.calls.failed is None
    return stage, RepeatedCalls(stage.calls, stage.parts)


def test_outputs_that_are_right_without_its_own_kernels_are_a_decoy():
    stage, repeated = passed(Disabled())
    repeated.with_kernels_disabled(CASES)
    assert stage.calls.failed is not None
    assert stage.calls.failed.status is Status.INTEGRITY_VIOLATION
    assert [finding.claim for finding in stage.calls.findings] == [DECOY]
    assert "ghost_replay" in stage.calls.done and not repeated.lost_process


def test_outputs_that_are_missing_without_its_own_kernels_are_honest():
    stage, repeated = passed(Disabled(wire.Called()))
    repeated.with_kernels_disabled(CASES)
    assert stage.calls.failed is None and not stage.calls.findings
    assert "ghost_replay" in stage.calls.done


@pytest.mark.parametrize(
    ("answer", "lost", "nothing"),
    [
        (ProcessLost("crash", "It died."), True, False),
        (
            wire.Called(fault=wire.CandidateFault(kind="kernels_not_disabled", message="none ran")),
            False,
            True,
        ),
    ],
)
def test_a_call_that_shows_nothing_without_kernels_is_not_run(
    answer: Any, lost: bool, nothing: bool
):
    stage, repeated = passed(Disabled(answer))
    repeated.with_kernels_disabled(CASES)
    assert stage.calls.failed is None and stage.calls.not_run["ghost_replay"]
    assert (repeated.lost_process, repeated.launched_nothing) == (lost, nothing)


class After:
    """Right for some calls; from then on off by a factor."""

    def __init__(self, calls: int, factor: float) -> None:
        self._left, self._factor = calls, factor

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self._left -= 1
        y, row = honest(*inputs)
        return (y, row) if self._left >= 0 else (y * self._factor, row)


CALLS = 4 * len(CASES)
"""Of the public workloads, before any is repeated."""


@pytest.mark.parametrize(
    ("compute", "grade"),
    [
        (honest, "bitwise"),
        (After(CALLS + 2, 1 + 1e-7), "within_tolerance"),
        (After(CALLS + 2, 1.5), "flaky"),
    ],
)
def test_repeated_calls_are_graded_by_how_alike_their_outputs_are(compute: Compute, grade: str):
    stage, repeated = passed(ScriptedSession(compute), determinism_runs=4)
    repeated.repeat(CASES[:1])
    assert repeated.determinism == grade
    failed = stage.calls.failed
    assert (failed is not None) == (grade == "flaky")
    if failed is not None:
        assert failed.failure is not None and failed.failure.kind == "flaky"


def test_the_worst_grade_of_several_workloads_counts():
    stage, repeated = passed(
        ScriptedSession(After(CALLS + 6, 1.5)), interpreted=False, determinism_runs=4
    )
    repeated.repeat(CASES)
    assert repeated.determinism == "flaky"
    assert stage.calls.failed is stage.calls.records[CASES[-1].uuid]


def test_calls_go_on_until_as_many_were_checked_as_are_due():
    stage, repeated = passed(ScriptedSession(honest), correctness_budget=CALLS + 5)
    repeated.many(CASES)
    assert sum(record.calls for record in stage.calls.records.values()) == CALLS + 5
    assert "many_calls" in stage.calls.done and stage.calls.failed is None


def test_a_fault_among_many_calls_ends_them():
    stage, repeated = passed(ScriptedSession(After(CALLS + 3, 1.5)), correctness_budget=CALLS + 50)
    repeated.many(CASES)
    assert stage.calls.failed is not None and len(stage.session.requests) == CALLS + 4
