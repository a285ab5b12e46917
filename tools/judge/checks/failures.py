"""Makes statuses and failures, with remedies, of candidates' faults and lost processes.

Pure. A candidate's report, or the way its process ended, becomes a status and a `Failure`. The text
of a report is untrusted: it is shortened and cleaned, and it decides the wording only.
"""

from __future__ import annotations

import re
import signal

from ...messages.candidate import CandidateFault
from ...schema.evaluation import OUT_OF_BOUNDS, Failure, Finding, Stage, Status
from ...text import shorten
from ..numerics.mismatch import Mismatch
from ..operators.operator_adapter import Case
from ..processes.lost import EXCERPT_CHARACTERS, ProcessLost
from .not_judged import PREFIX, REMEDIES

MACHINES = {kind: (Status.NOT_JUDGED, remedy) for kind, remedy in REMEDIES.items()}
BUILD_REMEDIES: dict[str, tuple[Status, str]] = {
    "build_timeout": (
        Status.TIMEOUT,
        "Build less: fewer template instances, fewer headers; or set build_timeout_s higher.",
    ),
    "syntax_error": (Status.COMPILE_ERROR, "Correct the line shown and evaluate again."),
    "import_error": (
        Status.COMPILE_ERROR,
        "Import only what is installed where candidates run: torch, triton, numpy, and libraries "
        "that the operator's policy.toml allows. Sources are one package: 'from .other import x'.",
    ),
    "compile_error": (Status.COMPILE_ERROR, "Correct what the compiler names and evaluate again."),
    "entry_point": (
        Status.INVALID_CANDIDATE,
        "Set entry_point in candidate.toml to '<file>::<function>' of a function that exists.",
    ),
    "signature": (
        Status.INVALID_CANDIDATE,
        "Take the inputs in the definition's order and, with destination passing, the outputs "
        "after them, all positional.",
    ),
    "source_path": (
        Status.INVALID_CANDIDATE,
        "Keep source paths relative, inside the workspace.",
    ),
    "compile_flags": (
        Status.INVALID_CANDIDATE,
        "Leave that flag out of compile_flags.toml, or write one of those that are allowed.",
    ),
    "language": (
        Status.INVALID_CANDIDATE,
        "Set language in candidate.toml to python, triton or cuda.",
    ),
    "exit": (
        Status.INVALID_CANDIDATE,
        "Remove the exit call: an exit code is no evidence of anything.",
    ),
    "out_of_memory": (Status.RUNTIME_ERROR, "Allocate less at import."),
    "launch": (
        Status.RUNTIME_ERROR,
        "Compute the grid by rounding up, and launch blocks that a device takes; grant dynamic "
        "shared memory by cudaFuncSetAttribute.",
    ),
    **MACHINES,
}
"""By kind of fault at build: status and remedy. Other kinds are compile errors."""

REFUSALS = ("arena", "unknown_dtype", "out_of_order", "kernels_not_disabled")
"""Refusals of the judge's requests by our code in the candidate's process. A candidate can forge
them, so they count as its failures."""
_REFUSED = (
    Status.RUNTIME_ERROR,
    "The process refused an ordinary call. If the candidate leaves its process alone, this is a "
    "fault of the harness: report it with the evaluation's id.",
)

CALL_REMEDIES: dict[str, tuple[Status, str]] = {
    "wrong_shape": (
        Status.INCORRECT_SHAPE,
        "Return exactly the definition's shape for the axes shown.",
    ),
    "wrong_output_count": (
        Status.INCORRECT_SHAPE,
        "Return all outputs as a tuple in the definition's order, or as a dict by name, or set "
        "destination_passing_style = true and write into the outputs passed.",
    ),
    "missing_output": (
        Status.INCORRECT_SHAPE,
        "Return the outputs, or set destination_passing_style = true in candidate.toml.",
    ),
    "wrong_dtype": (Status.INCORRECT_DTYPE, "Cast the output to the definition's dtype."),
    "wrong_device": (
        Status.RUNTIME_ERROR,
        "Allocate outputs on the device of the inputs.",
    ),
    "not_a_tensor": (
        Status.INCORRECT_DTYPE,
        "Return a torch.Tensor for each output, in the definition's order.",
    ),
    "replaced_torch": (
        Status.INTEGRITY_VIOLATION,
        "Leave torch's dispatcher as it is: register no kernel for an operation of torch's own.",
    ),
    "lazy_tensor": (
        Status.INTEGRITY_VIOLATION,
        "Return plain, contiguous torch.Tensor objects whose values exist when the call returns.",
    ),
    "aliases_input": (
        Status.INTEGRITY_VIOLATION,
        "Write results to memory of their own; an output may share storage with no input but one "
        "that the reference writes to.",
    ),
    "aliases_earlier_output": (
        Status.INTEGRITY_VIOLATION,
        "Allocate outputs anew in every call, or use destination passing; no buffer may be "
        "returned twice.",
    ),
    "rebound_output": (
        Status.INCORRECT_NUMERICAL,
        "Write into the tensors that are passed: out.copy_(result), or a kernel's stores to them.",
    ),
    "compile_error": (
        Status.COMPILE_ERROR,
        "Correct the line the compiler marks; Triton compiles a kernel at its first launch.",
    ),
    "out_of_resources": (
        Status.RUNTIME_ERROR,
        "Use smaller blocks or fewer num_stages: the kernel needs more shared memory or registers "
        "than the device has. Scope 'static' shows what each configuration takes.",
    ),
    "out_of_memory": (
        Status.RUNTIME_ERROR,
        "Allocate less scratch memory: the inputs and outputs already lie on the device.",
    ),
    "cuda_error": (
        Status.RUNTIME_ERROR,
        "sanitize(workspace=…) names the line: an illegal access or a bad launch was reported, "
        "perhaps by an earlier kernel.",
    ),
    "exit": (Status.RUNTIME_ERROR, "Remove the exit call; return the outputs instead."),
    **dict.fromkeys(REFUSALS, _REFUSED),
    "import_error": (Status.RUNTIME_ERROR, BUILD_REMEDIES["import_error"][1]),
    "syntax_error": BUILD_REMEDIES["syntax_error"],
    **MACHINES,
}
"""By kind of fault during a call: status and remedy. Other kinds are runtime errors."""

ALIAS_CLAIM = "outputs_own_memory"
LAZY_CLAIM = "outputs_exist_on_return"
PROCESS_CLAIM = "process_is_left_alone"
CLAIM_OF_FAULT = {
    "aliases_input": ALIAS_CLAIM,
    "aliases_earlier_output": ALIAS_CLAIM,
    "lazy_tensor": LAZY_CLAIM,
    "replaced_torch": LAZY_CLAIM,
}

MISMATCH_STATUS = {"wrong_shape": Status.INCORRECT_SHAPE, "wrong_dtype": Status.INCORRECT_DTYPE}


def build_failure(fault: CandidateFault) -> tuple[Status, Failure]:
    """Status and failure of a fault reported while building."""
    status, remedy = BUILD_REMEDIES.get(
        fault.kind,
        (Status.COMPILE_ERROR, "Make the module importable: nothing may fail at import."),
    )
    return status, Failure(
        stage=Stage.COMPILE,
        kind=fault.kind,
        message=_words(fault, status),
        remedy=remedy,
        excerpt=shorten(fault.excerpt, EXCERPT_CHARACTERS) or None,
    )


def _words(fault: CandidateFault, status: Status) -> str:
    said = shorten(fault.message, EXCERPT_CHARACTERS)
    return f"{PREFIX}{said}" if status is Status.NOT_JUDGED else said


def call_failure(fault: CandidateFault, case: Case, output: str | None) -> tuple[Status, Failure]:
    """Status and failure of a fault reported during a call."""
    # A candidate could encode a held-out case in a kind of its own.
    kind = fault.kind if fault.kind in (*CALL_REMEDIES, *BUILD_REMEDIES) else "exception"
    of_import = fault.message.startswith(("ModuleNotFoundError", "ImportError"))
    if of_import and kind not in MACHINES:
        kind = "import_error"
    status, remedy = CALL_REMEDIES.get(
        kind,
        (
            Status.RUNTIME_ERROR,
            "Read the last frame of the excerpt; run the candidate on these axes by hand.",
        ),
    )
    stage = Stage.INTEGRITY if status is Status.INTEGRITY_VIOLATION else Stage.CORRECTNESS
    if status is Status.COMPILE_ERROR:
        stage = Stage.COMPILE
    return status, shielded(
        Failure(
            stage=stage,
            kind=kind,
            message=_words(fault, status) or "The candidate failed without a message.",
            remedy=remedy,
            workload_uuid=case.uuid,
            axes=case.axes,
            output=output,
            excerpt=shorten(fault.excerpt, EXCERPT_CHARACTERS) or None,
        ),
        case,
    )


def lost_failure(
    lost: ProcessLost, stage: Stage, case: Case | None, log: str
) -> tuple[Status, Failure]:
    """Status and failure of a lost process."""
    status = Status.TIMEOUT if lost.kind == "timeout" else Status.RUNTIME_ERROR
    if lost.kind == "timeout" and stage is Stage.COMPILE:
        remedy = (
            "Build less: fewer template instances or autotune configurations. The setting "
            "build_timeout_s allows more, as a slow or busy machine may need."
        )
    elif lost.kind == "timeout":
        remedy = (
            "Look for an endless loop, a lock never released, or work far beyond the due. The "
            "setting call_timeout_s allows a call more."
        )
    elif lost.kind == "protocol":
        remedy = "Leave the process's descriptors alone; print to stdout or stderr only."
        status = Status.INTEGRITY_VIOLATION
    else:
        remedy = _crash_remedy(lost.exit_status)
    kind, message = lost.kind, lost.detail
    access = _interpreted_access(lost, log)
    if access is not None:
        kind, message, remedy = OUT_OF_BOUNDS, f"{access} {lost.detail}", _ACCESS_REMEDY
    failure = Failure(
        stage=stage,
        kind=kind,
        message=message,
        remedy=remedy,
        workload_uuid=case.uuid if case else None,
        axes=case.axes if case else {},
        excerpt=shorten(_candidate_lines(log)[-EXCERPT_CHARACTERS:], EXCERPT_CHARACTERS) or None,
    )
    return status, shielded(failure, case) if case else failure


_ACCESS_REMEDY = (
    "Mask the access by the true size, and check the pointer arithmetic of the line named; print "
    "the offsets there with tl.device_print."
)
_INTERPRETERS_ACCESS = re.compile(r"interpreter\.py\", line \d+ in create_\w*?(load|store|atomic)")
_KERNEL_FRAME = re.compile(
    r"/src/candidate_\w+/(?P<file>.+?)\", line (?P<line>\d+) in (?P<name>\w+)"
)


def _interpreted_access(lost: ProcessLost, log: str) -> str | None:
    """The access of an interpreted kernel that ended the process, as Python's last words show it.

    They are the candidate's and may be forged; they decide nothing but the wording.
    """
    if lost.exit_status not in (-signal.SIGSEGV, -signal.SIGBUS):
        return None
    words = log[max(log.rfind("Fatal Python error"), 0) :]
    access = _INTERPRETERS_ACCESS.search(words)
    frame = _KERNEL_FRAME.search(words, access.end()) if access is not None else None
    if access is None or frame is None:
        return None
    verbs = {"load": "A load reads", "store": "A store writes", "atomic": "An atomic reaches"}
    place = shorten(f"{frame['file']}, line {frame['line']}, in {frame['name']}", 200)
    return f"{verbs[access[1]]} outside all memory: {place} (in Triton's interpreter)."


def mismatch_failure(
    mismatch: Mismatch, case: Case, output: str, note: str = ""
) -> tuple[Status, Failure]:
    """Status and failure of a wrong output."""
    status = MISMATCH_STATUS.get(mismatch.kind, Status.INCORRECT_NUMERICAL)
    failure = Failure(
        stage=Stage.CORRECTNESS,
        kind=mismatch.kind,
        message=f"{mismatch.message}{note}",
        remedy=mismatch.remedy,
        workload_uuid=case.uuid,
        axes=case.axes,
        output=output,
        index=mismatch.index,
        expected=mismatch.expected,
        got=mismatch.got,
        mismatched=mismatch.mismatched,
        total=mismatch.total,
        cluster=mismatch.pattern,
    )
    return status, shielded(failure, case)


_PRIVATE = re.compile(r"/[^\s\"]*/src/candidate_\w+/")
"""The folder of the sources in a candidate's private one."""


def _candidate_lines(log: str) -> str:
    """A log without the traceback frames of our own code, in which every crash ends."""
    ours = ("tools/candidate/", "<frozen runpy>", "Extension modules:")
    kept = [line for line in log.splitlines() if not any(o in line for o in ours)]
    return _PRIVATE.sub("", "\n".join(kept))


HELD_OUT_MESSAGES = {
    Stage.CORRECTNESS: "A held-out workload gave a wrong result",
    Stage.INTEGRITY: "An integrity check failed on a held-out workload",
    Stage.COMPILE: "A kernel did not compile for a held-out workload",
    Stage.TIMING: "A held-out workload failed while it was timed",
}


def shielded(failure: Failure, case: Case) -> Failure:
    """The failure as it may be shown: without the case when that is held out."""
    if not case.held_out:
        return failure
    words = HELD_OUT_MESSAGES.get(failure.stage, "A held-out workload failed")
    return Failure(
        stage=failure.stage,
        kind=failure.kind,
        message=f"{words} ({failure.kind}). Which one is not shown.",
        remedy="Make the candidate right for every size and content that the definition allows: "
        "look for constants taken from the public workloads, sizes that do not divide the tile, "
        "and empty or very long sequences.",
        held_out=True,
    )


def shielded_finding(finding: Finding, case: Case) -> Finding:
    """The finding as it may be shown: the place of a stray write could encode a held-out size."""
    if not case.held_out:
        return finding
    message = f"{HELD_OUT_MESSAGES[Stage.INTEGRITY]}. Which one is not shown."
    return finding.model_copy(update={"message": message, "evidence": {}})


def _crash_remedy(exit_status: int | None) -> str:
    if exit_status is not None and exit_status >= 0:
        return "Remove calls that end the process: a candidate returns its outputs."
    if exit_status in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS):
        return (
            "Look for an access outside its memory: of host code, of a wrong pointer type, or of "
            "an interpreted kernel's store without a mask, which overwrites what lies beside it."
        )
    if exit_status == -signal.SIGKILL:
        return "It was killed, most likely for memory: allocate less."
    if exit_status == -signal.SIGSYS:
        return "It made a system call that the sandbox forbids; a kernel needs none."
    return "Read the end of its log in the excerpt."
