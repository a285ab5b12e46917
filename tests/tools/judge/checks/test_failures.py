"""Faults and losses become words that say what to do."""

from __future__ import annotations

import signal

import pytest

from kernel_harness.tools.judge.checks import failures
from kernel_harness.tools.judge.checks.failures import build_failure, call_failure, lost_failure
from kernel_harness.tools.judge.numerics.mismatch import Mismatch
from kernel_harness.tools.judge.operators.operator_adapter import Case
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.messages.candidate import CandidateFault
from kernel_harness.tools.schema.evaluation import Finding, Severity, Stage, Status
from tests.folding import for_each

CASE = Case("w-1", {"m": 31337})
HIDDEN = Case("held-out-0", {"m": 31337}, held_out=True)


def fault(kind: str, message: str = "it went wrong", excerpt: str = "") -> CandidateFault:
    return CandidateFault(kind=kind, message=message, excerpt=excerpt)


@for_each("kind", [*failures.BUILD_REMEDIES, "something_new"])
def test_every_build_fault_says_what_to_do(kind):
    status, failure = build_failure(fault(kind))
    assert failure.kind == kind and failure.stage is Stage.COMPILE and failure.remedy
    assert status is not Status.PASSED


def test_a_machine_without_a_compiler_is_not_the_candidate_s_fault():
    status, failure = build_failure(fault("toolchain", "nvcc was not found; install …"))
    assert status is Status.NOT_JUDGED
    assert failure.message == "This machine cannot judge it: nvcc was not found; install …"
    assert "check_environment" in failure.remedy


@for_each("kind", [*failures.CALL_REMEDIES, "something_new"])
def test_every_call_fault_says_what_to_do_and_on_what(kind):
    status, failure = call_failure(fault(kind), CASE, "y")
    assert failure.axes == {"m": 31337} and failure.output == "y" and failure.remedy
    assert (failure.stage is Stage.INTEGRITY) == (status is Status.INTEGRITY_VIOLATION)


def test_what_the_interpreter_cannot_run_is_not_the_candidate_s_fault():
    status, failure = call_failure(fault("interpreter_limit", "inline_asm …"), CASE, None)
    assert status is Status.NOT_JUDGED and "GPU" in failure.remedy
    assert failure.message.startswith("This machine cannot judge it: ")


def test_a_library_that_is_missing_at_the_first_call_is_an_import_error():
    _, failure = call_failure(
        fault("exception", "ModuleNotFoundError: No module named 'fla'"), CASE, None
    )
    assert failure.kind == "import_error" and "policy.toml" in failure.remedy


@pytest.mark.parametrize(
    ("lost", "status", "words"),
    [
        (ProcessLost("timeout", "It did not answer within 3 s."), Status.TIMEOUT, "call_timeout_s"),
        (
            ProcessLost("crash", "It died.", -signal.SIGSEGV),
            Status.RUNTIME_ERROR,
            "outside its memory",
        ),
        (
            ProcessLost("crash", "It died.", -signal.SIGABRT),
            Status.RUNTIME_ERROR,
            "store without a mask",
        ),
        (ProcessLost("crash", "It died.", -signal.SIGKILL), Status.RUNTIME_ERROR, "memory"),
        (ProcessLost("crash", "It died.", 0), Status.RUNTIME_ERROR, "end the process"),
        (ProcessLost("protocol", "It wrote nonsense."), Status.INTEGRITY_VIOLATION, "descriptors"),
    ],
)
def test_every_loss_says_what_to_look_for(lost, status, words):
    found, failure = lost_failure(lost, Stage.CORRECTNESS, CASE, "the end of its log")
    assert found is status and words in failure.remedy
    assert failure.excerpt == "the end of its log"


@pytest.mark.parametrize(
    "made",
    [
        lambda: call_failure(fault("exception", "m was 31337", "m = 31337"), HIDDEN, "y"),
        lambda: lost_failure(
            ProcessLost("crash", "at 31337"), Stage.CORRECTNESS, HIDDEN, "m = 31337"
        ),
        lambda: failures.mismatch_failure(
            Mismatch("wrong_values", "31337 of 31337", "", [31336], 1.0, 2.0, 31337, 31337, "all"),
            HIDDEN,
            "y",
        ),
    ],
)
def test_a_failure_on_a_held_out_case_tells_nothing_of_the_case(made):
    _, failure = made()
    assert failure.held_out and failure.remedy
    assert (
        "31337" not in failure.model_dump_json() and "held-out-0" not in failure.model_dump_json()
    )


def test_a_kind_that_nobody_knows_is_an_exception_lest_it_spell_a_held_out_case():
    _, failure = call_failure(fault("size_in_letters"), HIDDEN, None)
    assert failure.kind == "exception" and "letters" not in failure.model_dump_json()


def test_a_finding_on_a_held_out_case_tells_nothing_of_the_case():
    found = Finding(
        claim="writes_stay_inside",
        severity=Severity.VIOLATION,
        message="31337 bytes after output 'y'",
        evidence={"guards": [["out:y", "after", 31337]]},
    )
    assert failures.shielded_finding(found, CASE) == found
    shielded = failures.shielded_finding(found, HIDDEN)
    assert shielded.claim == found.claim and shielded.severity is found.severity
    assert "31337" not in shielded.model_dump_json()


def test_a_crash_shows_the_candidates_frames_and_none_of_ours():
    log = (
        "Fatal Python error: Aborted\n"
        '  File "/tmp/x/kernel.py", line 3 in run\n'
        '  File "/opt/kernel_harness/tools/candidate/calls/caller.py", line 94 in <lambda>\n'
        "Extension modules: numpy (total: 13)"
    )
    _, failure = lost_failure(ProcessLost("crash", "It died.", -6), Stage.CORRECTNESS, CASE, log)
    assert failure.excerpt is not None and "kernel.py" in failure.excerpt
    assert "caller.py" not in failure.excerpt and "Extension" not in failure.excerpt


def test_a_forged_fault_of_the_harness_counts_against_the_candidate():
    for kind in failures.REFUSALS:
        assert call_failure(fault(kind), CASE, None)[0] is Status.RUNTIME_ERROR


SEGMENTATION = """before
Fatal Python error: Segmentation fault

Current thread 0x00007f14edca4b80 (most recent call first):
  File "/env/triton/runtime/interpreter.py", line 550 in {access}
  File "/env/triton/language/semantic.py", line 1094 in load
  File "/tmp/kernel-harness-candidate-1-x/src/candidate_02d9/parts/kernel.py", line 6 in affine
  File "/env/triton/runtime/interpreter.py", line 1511 in __call__
  File "/tmp/kernel-harness-candidate-1-x/src/candidate_02d9/kernel.py", line 9 in run
"""


@pytest.mark.parametrize(
    ("access", "words"),
    [
        ("create_masked_load", "A load reads outside all memory: parts/kernel.py, line 6"),
        ("create_store", "A store writes outside all memory: parts/kernel.py, line 6"),
        ("create_tensor_pointer_load", "A load reads outside all memory: parts/kernel.py, line 6"),
        ("create_atomic_rmw", "An atomic reaches outside all memory: parts/kernel.py, line 6"),
    ],
)
def test_an_access_that_ends_an_interpreted_kernel_is_named_with_its_line(access, words):
    lost = ProcessLost("crash", "The candidate's process was killed by SIGSEGV.", -11)
    log = SEGMENTATION.replace("{access}", access)
    status, failure = failures.lost_failure(lost, Stage.CORRECTNESS, CASE, log)
    assert status is Status.RUNTIME_ERROR and failure.kind == "out_of_bounds"
    assert words in failure.message and "SIGSEGV" in failure.message
    assert failure.excerpt is not None and "/tmp/" not in failure.excerpt
    _, hidden = failures.lost_failure(lost, Stage.CORRECTNESS, HIDDEN, log)
    assert "kernel.py" not in hidden.model_dump_json()


@pytest.mark.parametrize("exit_status", [-6, 1, None])
def test_a_crash_of_another_kind_is_no_access(exit_status):
    lost = ProcessLost("crash", "It ended.", exit_status)
    log = SEGMENTATION.replace("{access}", "create_load")
    _, failure = failures.lost_failure(lost, Stage.CORRECTNESS, CASE, log)
    assert failure.kind == "crash" and failure.message == "It ended."
