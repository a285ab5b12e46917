"""One status and one wording for what this machine cannot judge."""

from __future__ import annotations

import pytest

from kernel_harness.tools.judge.checks.failures import build_failure, call_failure
from kernel_harness.tools.judge.checks.not_judged import (
    PREFIX,
    REMEDIES,
    local_fault,
    not_judged,
    other_device,
    with_checked,
)
from kernel_harness.tools.judge.operators.operator_adapter import Case
from kernel_harness.tools.messages.candidate import CandidateFault
from kernel_harness.tools.schema.evaluation import StaticCheck, StaticKernel, Status


@pytest.mark.parametrize("kind", REMEDIES)
def test_every_kind_is_told_alike_wherever_it_shows(kind):
    fault = CandidateFault(kind=kind, message="nvcc is missing")
    told = [build_failure(fault), call_failure(fault, Case("w", {}), None)]
    for status, failure in [*told, not_judged(kind, "nvcc is missing")]:
        assert status is Status.NOT_JUDGED and failure.kind == kind
        assert failure.message.startswith(f"{PREFIX}nvcc is missing")
        assert failure.remedy == REMEDIES[kind]


@pytest.mark.parametrize(
    ("kind", "interpreted", "told"),
    [
        ("cuda_error", True, "needs_gpu"),
        ("cuda_error", False, "cuda_error"),
        ("needs_gpu", True, "needs_gpu"),
        ("needs_gpu", False, "exception"),
        ("interpreter_limit", False, "exception"),
        ("toolchain", False, "toolchain"),
        ("missing_package", False, "missing_package"),
        ("exception", True, "exception"),
    ],
)
def test_with_a_gpu_nothing_is_excused_by_its_absence(kind, interpreted, told):
    fault = CandidateFault(kind=kind, message="m")
    assert local_fault(fault, interpreted=interpreted).kind == told


def test_what_was_checked_all_the_same_is_said():
    _, failure = not_judged("needs_gpu", "it calls PTX")
    kernels = [StaticKernel(name="k", target=target) for target in ("sm_100", "sm_90")]
    built = with_checked(failure, StaticCheck(status="built", kernels=kernels))
    assert built.message == (
        f"{PREFIX}it calls PTX. Checked here: it compiles for sm_90 and sm_100 (k)."
    )
    uncalled = StaticCheck(status="built", kernels=kernels, reason="It was not called.")
    assert with_checked(failure, uncalled).message == f"{built.message} It was not called."
    lacking = StaticCheck(status="unavailable", reason="nvcc was not found.")
    assert with_checked(failure, lacking).message.endswith("for targets: nvcc was not found.")
    assert with_checked(failure, None).message.endswith("Nothing else was checked.")


def test_a_reason_is_said_once():
    _, failure = not_judged("needs_gpu", "it calls PTX")
    for status in ("unavailable", "failed"):
        same = StaticCheck(status=status, reason="it calls PTX.")
        assert with_checked(failure, same).message == (
            f"{PREFIX}it calls PTX. Nor was it compiled for targets."
        )
    long = "libcudart.so is missing, " * 60
    _, failure = not_judged("toolchain", long)
    message = with_checked(failure, StaticCheck(status="unavailable", reason=long[:600])).message
    assert message.count("libcudart.so") == 60


def test_a_candidate_for_other_devices_is_not_judged_on_this_one():
    words = other_device(["B200"], "9.0")
    assert words == "it is for sm_100, and this device is sm_90"
    assert other_device(["B200", "NVIDIA H200"], "9.0") is None
    assert other_device(["cuda"], "9.0") is None
    assert other_device(["B200"], None) is None
