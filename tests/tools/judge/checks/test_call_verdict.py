"""One call becomes a verdict: which outputs are told, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.calls.judged_call import CallOutcome
from kernel_harness.tools.judge.calls.shared_memory import Damage, Layout
from kernel_harness.tools.judge.checks import integrity
from kernel_harness.tools.judge.checks.call_verdict import (
    CallVerdict,
    CaseRecord,
    judge_call,
    judge_lost,
)
from kernel_harness.tools.judge.operators.input_sets import InputSet
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.messages.candidate import Called, CandidateFault
from kernel_harness.tools.schema.evaluation import Failure, OutputError, Severity, Stage, Status
from kernel_harness.tools.schema.flashinfer_trace import Definition
from kernel_harness.tools.workloads.policy import Policy

REFERENCE = "def run(x):\n    return x, x, x\n"
DEFINITION = Definition.model_validate(
    {
        "name": "three",
        "op_type": "test",
        "axes": {"rows": {"type": "var"}, "head_dim": {"type": "const", "value": 128}},
        "inputs": {"x": {"shape": ["rows", "head_dim"], "dtype": "float32"}},
        "outputs": {
            name: {"shape": ["rows", "head_dim"], "dtype": "float32"} for name in ("a", "b", "c")
        },
        "reference": REFERENCE,
    }
)
CASE = Case("w-1", {"rows": 6})


def verdict_on(
    case: Case = CASE,
    policy: Policy | None = None,
    folder: Path | None = None,
    signs: Sequence[str] = (),
    seen: Mapping[str, Any] | None = None,
    family: str = "typical",
    fault: CandidateFault | None = None,
    **factors: float,
):
    due = torch.randn(6, 128, generator=torch.Generator().manual_seed(0))
    expected = {name: due.double() for name in DEFINITION.outputs}
    trusted = dict.fromkeys(DEFINITION.outputs, due)
    input_set = InputSet(case, family, 0, {"x": due}, expected, trusted)
    outputs = {name: factors.get(name, 1.0) * due for name in DEFINITION.outputs}
    empty = torch.empty(0, dtype=torch.uint8)
    layout = Layout(empty, (), {}, empty, empty)
    outcome = CallOutcome(
        called=Called(signs=list(signs), fault=fault),
        outputs=outputs,
        poisons=dict.fromkeys(outputs, 0),
        layout=layout,
        **(seen or {}),
    )
    operator = OperatorAdapter(DEFINITION, folder)
    operator.policy = policy or operator.policy
    return judge_call(operator, input_set, outcome)


def test_right_outputs_pass():
    assert verdict_on().passed


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"mutated": ["x"]}, "changed its input"),
        ({"damage": [Damage("out:a", "after", 1, 4, torch.float32, 8192)]}, "out of bounds"),
        ({"changed_late": ["b"]}, "still changed after the call"),
    ],
)
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_what_a_call_did_beside_its_outputs_is_a_violation_whatever_its_values(
    seen: Mapping[str, Any], words: str, factor: float
):
    verdict = verdict_on(seen=seen, a=factor)
    assert verdict.failure is not None and words in verdict.failure.message
    assert verdict.status in (Status.INTEGRITY_VIOLATION, Status.RUNTIME_ERROR)
    assert [finding.severity for finding in verdict.findings] == [Severity.VIOLATION]
    assert not verdict.errors, "values are not compared"


def test_every_wrong_output_is_told_and_the_worst_is_first():
    verdict = verdict_on(a=1.005, c=128**0.5)
    assert verdict.status is Status.INCORRECT_NUMERICAL and verdict.failure is not None
    assert verdict.failure.output == "c"
    assert verdict.failure.message.index("Output 'c'") < verdict.failure.message.index("Output 'a'")
    assert "Output 'b'" not in verdict.failure.message


def test_of_outputs_that_are_wrong_by_a_figure_the_larger_one_is_first():
    failure = verdict_on(a=1.3, c=1.9).failure
    assert failure is not None and failure.output == "c"
    assert failure.message.index("Output 'c'") < failure.message.index("Output 'a'")


def test_the_published_tolerance_decides_on_the_inputs_that_it_was_made_for_alone():
    """The strict limits are wide here: whatever refuses is the published tolerance."""
    loose = {"rms_factor": 1.0, "max_factor": 1.0, "rms_floor": 1.0, "max_floor": 9.0}
    tight = {"form": "allclose", "atol": 1e-9, "rtol": 1e-9}
    policy = Policy.model_validate({"tolerance": tight, "strict": dict.fromkeys("abc", loose)})
    for family, passed in (("typical", False), ("twin", False), ("large_values", True)):
        assert verdict_on(policy=policy, family=family, a=1.001).passed is passed


def test_a_process_that_speaks_out_of_turn_is_a_violation():
    verdict = judge_lost(ProcessLost("protocol", "it sent a message unasked"), CASE, "")
    assert not verdict.passed and verdict.failure is not None
    (finding,) = verdict.findings
    assert finding.claim == integrity.TURN and finding.severity is Severity.VIOLATION
    assert "unasked" in finding.message
    assert judge_lost(ProcessLost("crash", "signal 11"), CASE, "").findings == []


def test_what_only_a_gpu_can_run_is_not_judged_where_inputs_lie_in_the_hosts_memory():
    lacking = CandidateFault(kind="cuda_error", message="CUDA error: no device")
    assert verdict_on(fault=lacking).status is Status.NOT_JUDGED
    raised = CandidateFault(kind="exception", message="ValueError: no")
    assert verdict_on(fault=raised).status is Status.RUNTIME_ERROR


def test_a_factor_is_explained_by_an_axis_of_the_definition():
    failure = verdict_on(b=128**0.5).failure
    assert failure is not None and "√128 (head_dim)" in failure.message


def test_outputs_that_are_wrong_alike_are_told_in_the_definition_s_order():
    failure = verdict_on(b=3.0, c=3.0).failure
    assert failure is not None and failure.output == "b"


def test_a_scalar_that_is_zero_may_be_taken_at_its_word():
    """Where 0 stands for a default, a kernel that multiplies by it is no cheat and not wrong."""
    policy = Policy.model_validate({"scalars": {"s": {"values": [0.0], "literal_zero": ["b"]}}})
    zero = Case("w-1", {"rows": 6}, scalars={"s": 0.0})
    assert verdict_on(zero, policy, b=0.0).passed
    assert verdict_on(zero, policy).passed
    assert not verdict_on(zero, policy, b=0.5).passed
    assert not verdict_on(zero, policy, a=0.0, b=0.0).passed
    assert not verdict_on(Case("w-1", {"rows": 6}, scalars={"s": 0.1}), policy, b=0.0).passed
    assert not verdict_on(zero, b=0.0).passed


TOGETHER = """
def compare_all(inputs, expected, got, limits):
    total = got["a"] + got["b"]
    due = inputs["x"] * 2
    wrong = int((total - due).abs().gt(1e-3).sum())
    return {"ok": not wrong, "message": f"{wrong} sums are wrong"}
"""


def test_all_outputs_of_a_call_can_be_judged_together(tmp_path):
    (tmp_path / "compare.py").write_text(TOGETHER)
    assert verdict_on(folder=tmp_path, a=0.5, b=1.5, c=9.0).passed
    verdict = verdict_on(folder=tmp_path, a=0.5, b=1.0)
    assert verdict.status is Status.INCORRECT_NUMERICAL and verdict.failure is not None
    assert verdict.failure.message.endswith(" sums are wrong")
    assert verdict.failure.message.count("sums are wrong") == 1  # of three outputs
    assert not verdict.errors[0].strict


def test_a_workload_can_have_a_tolerance_of_its_own():
    loose = {"form": "allclose", "atol": 1.0, "rtol": 1.0}
    given = {"criterion": "published", "workload_tolerance": {"w-1": loose}}
    policy = Policy.model_validate(given)
    assert verdict_on(policy=policy, a=1.5).passed
    other = verdict_on(Case("w-2", {"rows": 6}), policy, a=1.5)
    assert other.status is Status.INCORRECT_NUMERICAL


def test_what_a_candidate_leaves_in_its_process_is_told_or_refused():
    signs = ["time.time was replaced", "a thread of its own is left running, in kernel.py, line 3"]
    verdict = verdict_on(signs=signs)
    assert verdict.passed
    (finding,) = verdict.findings
    assert finding.claim == "process_is_left_alone" and finding.severity is Severity.WARNING
    assert all(sign in finding.message for sign in signs)
    refusing = Policy.model_validate({"process": "refused"})
    verdict = verdict_on(policy=refusing, signs=signs)
    assert verdict.status is Status.INTEGRITY_VIOLATION and verdict.failure is not None
    assert verdict.failure.kind == "process_is_left_alone"
    wrong = verdict_on(policy=refusing, signs=signs, a=2.0)
    assert wrong.status is Status.INCORRECT_NUMERICAL
    assert verdict_on(policy=refusing).findings == []


def test_a_case_keeps_the_worst_errors_of_its_calls_and_its_first_failure():
    record, wrong = CaseRecord(CASE), Status.INCORRECT_NUMERICAL
    failures = [
        Failure(stage=Stage.CORRECTNESS, kind=kind, message="m", remedy="r") for kind in "ab"
    ]
    near = OutputError(output="a", max_absolute=1.0, matched_ratio=1.0, strict=True)
    far = OutputError(output="a", max_absolute=9.0, matched_ratio=0.5, strict=False)
    other = OutputError(output="b", max_absolute=2.0)
    record.add(CallVerdict(Status.PASSED, errors=[near]))
    assert record.passed
    record.add(CallVerdict(wrong, failures[0], [far, other]))
    record.add(CallVerdict(wrong, failures[1], [near]))
    record.add(CallVerdict(Status.PASSED))
    assert (record.calls, record.status, record.failure) == (4, wrong, failures[0])
    first, second = record.errors
    assert (first.max_absolute, first.matched_ratio, first.strict) == (9.0, 0.5, False)
    assert second == other
