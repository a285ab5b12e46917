"""Checks of times and origins: what they flag and what they let pass."""

from __future__ import annotations

import pytest
import torch

from kernel_harness.tools.judge.calls.judged_call import CallOutcome
from kernel_harness.tools.judge.calls.shared_memory import Damage, Layout
from kernel_harness.tools.judge.checks import integrity
from kernel_harness.tools.judge.operators.operator_adapter import Case
from kernel_harness.tools.messages.candidate import Called
from kernel_harness.tools.schema.evaluation import Failure, Severity, Stage, Status
from kernel_harness.tools.schema.measurement import KernelTime

EMPTY = torch.empty(0, dtype=torch.uint8)


def outcome(**fields) -> CallOutcome:
    called = Called(**{k: fields.pop(k) for k in ("span_ns", "host_ns") if k in fields})
    layout = Layout(EMPTY, (), {}, EMPTY, EMPTY)
    return CallOutcome(
        **{"called": called, "outputs": {}, "poisons": {}, "layout": layout, **fields}
    )


def severities(findings) -> list[Severity]:
    return [finding.severity for finding in findings]


def test_a_clean_call_gives_no_finding():
    assert integrity.after_call(outcome(), []) == []


def test_a_changed_input_is_a_violation_unless_it_is_declared_mutable():
    changed = outcome(mutated=["x", "state"])
    found = integrity.inputs_unchanged(changed, ["state"])
    assert found[0].evidence["inputs"] == ["x"]
    assert severities(found) == [Severity.VIOLATION]
    assert integrity.inputs_unchanged(changed, ["x", "state"]) == []


@pytest.mark.parametrize(
    ("side", "nearest", "farthest", "words"),
    [
        ("after", 1, 512, "512 bytes (128 elements of float32) right after output 'y'"),
        # One byte of a number that was written may be what it was before.
        ("after", 2, 511, "512 bytes (128 elements of float32) right after output 'y'"),
        ("after", 1, 1, "4 bytes (1 element of float32) right after output 'y'"),
        ("before", 5, 8, "4 bytes (1 element of float32) 4 bytes before output 'y'"),
        ("after", 1025, 8192, "at least 7168 bytes (1792 elements of float32) 1024 bytes after"),
    ],
)
def test_a_stray_write_is_an_out_of_bounds_error_with_its_size_and_place(
    side, nearest, farthest, words
):
    damage = Damage("out:y", side, nearest, farthest, torch.float32, 8192)
    (found,) = integrity.writes_stay_inside(outcome(damage=[damage]))
    assert words in found.message
    status, failure = integrity.violation(found, Case("w", {"m": 3}))
    assert (status, failure.kind) == (Status.RUNTIME_ERROR, "out_of_bounds")
    assert failure.message == found.message and failure.stage is Stage.CORRECTNESS


def test_an_output_that_changes_late_is_a_violation():
    found = integrity.work_is_joined(outcome(changed_late=["y"]))
    assert severities(found) == [Severity.VIOLATION]


def test_a_claim_beyond_the_wall_clock_is_a_violation():
    assert integrity.clock_agrees(outcome(span_ns=5_000, elapsed_ns=9_000)) == []
    found = integrity.clock_agrees(outcome(span_ns=90_000, elapsed_ns=9_000))
    assert severities(found) == [Severity.VIOLATION]


def test_a_time_below_the_floor_is_a_violation():
    def found(latency: float, *, upper_bound: bool = False):
        return severities(
            integrity.not_faster_than_physics(
                latency, 10.0, upper_bound=upper_bound, device="device"
            )
        )

    assert found(9.1) == []
    assert found(8.9) == [Severity.VIOLATION]
    assert found(8.9, upper_bound=True) == [Severity.WARNING]


def test_a_device_without_a_floor_flags_nothing():
    assert integrity.not_faster_than_physics(0.001, None, upper_bound=False, device="device") == []


def test_host_time_beyond_launching_is_shown():
    allowance = integrity.HOST_ALLOWANCE_NS + integrity.HOST_ALLOWANCE_PER_LAUNCH_NS * 2
    assert integrity.no_hidden_host_work(5_000, 5_000 + allowance, 2) == []
    found = integrity.no_hidden_host_work(5_000, 5_001 + allowance, 2)
    assert severities(found) == [Severity.WARNING]
    assert "ranked by the host time" in found[0].message
    (sealed,) = integrity.no_hidden_host_work(5_000, 5_001 + allowance, 2, sealed=True)
    assert integrity.SEALED_HOST_WORK in sealed.message and "ranked" not in sealed.message


def test_a_second_clock_that_saw_more_is_shown():
    assert integrity.two_clocks_agree(10_000, 14_000, 1) == []
    assert severities(integrity.two_clocks_agree(10_000, 900_000, 1)) == [Severity.WARNING]


def test_a_right_result_without_own_kernels_is_a_violation():
    assert integrity.own_kernels_do_the_work(still_right=False) == []
    assert severities(integrity.own_kernels_do_the_work(still_right=True)) == [Severity.VIOLATION]


def kernel(origin: str, share: float) -> KernelTime:
    return KernelTime(name="k", launches=1, share=share, microseconds=1.0, origin=origin)


def test_a_foreign_library_is_a_violation():
    kernels = [kernel("candidate", 0.4), kernel("cudnn", 0.6)]
    found = integrity.allowed_libraries_only(kernels, ["torch"], "triton")
    assert severities(found) == [Severity.VIOLATION]
    assert integrity.allowed_libraries_only(kernels, ["cudnn"], "triton") == []


def test_a_little_of_a_foreign_library_only_warns():
    kernels = [kernel("candidate", 0.95), kernel("cudnn", 0.05)]
    found = integrity.allowed_libraries_only(kernels, ["torch"], "triton")
    assert severities(found) == [Severity.WARNING]


def test_a_violation_on_a_held_out_case_tells_nothing_of_the_case():
    finding = integrity.inputs_unchanged(outcome(mutated=["x"]), [])[0]
    status, shown = integrity.violation(finding, Case("w", {"m": 3}))
    assert (
        status is Status.INTEGRITY_VIOLATION
        and shown.axes == {"m": 3}
        and shown.stage is Stage.INTEGRITY
        and shown.remedy
    )
    _, hidden = integrity.violation(finding, Case("h", {"m": 3}, held_out=True))
    assert hidden.held_out and not hidden.axes and hidden.workload_uuid is None
    assert "3" not in hidden.message


def test_every_claim_has_a_remedy():
    assert all(words.strip() for words in integrity.REMEDIES.values())


def test_a_triton_candidate_that_launches_nothing_is_told_so_where_kernels_are_interpreted():
    found = integrity.launched_something("triton", interpreted=True, launched_nothing=True)
    assert severities(found) == [Severity.WARNING]
    for language, interpreted, nothing in (
        ("python", True, True),
        ("triton", False, True),
        ("triton", True, False),
    ):
        assert not integrity.launched_something(
            language, interpreted=interpreted, launched_nothing=nothing
        )


def test_words_out_of_turn_before_any_call_are_a_violation():
    failure = Failure(stage=Stage.COMPILE, kind="protocol", message="It answered.", remedy="Don't.")
    assert severities(integrity.spoke_when_asked(failure)) == [Severity.VIOLATION]
    assert integrity.spoke_when_asked(failure.model_copy(update={"kind": "timeout"})) == []
    assert integrity.spoke_when_asked(None) == []
