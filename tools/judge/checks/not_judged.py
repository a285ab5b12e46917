"""NOT_JUDGED in one wording: what this machine cannot judge, why, and what was still checked.

Pure. A candidate that forges such a fault has no pass for it, and no evidence of anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...devices.targets import architectures_of
from ...messages.candidate import CandidateFault
from ...schema.evaluation import Failure, Stage, StaticCheck, Status

GPU_REMEDY = (
    "Evaluate it on a machine with an NVIDIA GPU; changing it so that it runs here may change what "
    "it does on its device."
)
REMEDIES: dict[str, str] = {
    "needs_gpu": GPU_REMEDY,
    "interpreter_limit": GPU_REMEDY,
    "other_device": "Evaluate it on a device that its target_hardware names, or name this one "
    "there and give it code of its own.",
    "toolchain": "Install what the message names, or evaluate where it is installed: "
    "check_environment() lists what is here.",
    "missing_package": "Install the package where candidates run, or do without it.",
    "nothing_ran": "Raise the budget that the message names, or evaluate on a quicker machine.",
}
"""Kinds of failure that are this machine's, and what to do about each."""
ONLY_WITHOUT_GPU = ("needs_gpu", "interpreter_limit")
SAME_CHARACTERS = 200
"""Of a reason, which is cut elsewhere: when these stand in a message, all of it does."""
PREFIX = "This machine cannot judge it: "


def local_fault(fault: CandidateFault, *, interpreted: bool) -> CandidateFault:
    """The fault as it counts on this machine.

    Without a GPU an error of CUDA is the machine's; with one, none is missing.
    """
    kind = fault.kind
    if interpreted and kind == "cuda_error":
        kind = "needs_gpu"
    elif not interpreted and kind in ONLY_WITHOUT_GPU:
        kind = "exception"
    return fault if kind == fault.kind else fault.model_copy(update={"kind": kind})


def not_judged(kind: str, why: str, stage: Stage = Stage.REQUEST) -> tuple[Status, Failure]:
    """The status and failure of a candidate that this machine cannot judge.

    Args:
        kind: one of `REMEDIES`.
        why: what is missing, as a clause without a full stop.
    """
    failure = Failure(stage=stage, kind=kind, message=f"{PREFIX}{why}.", remedy=REMEDIES[kind])
    return Status.NOT_JUDGED, failure


def other_device(hardware: Sequence[str], capability: str | None) -> str | None:
    """Why a candidate cannot run on a device, in words; None when it can, or there is no device.

    Args:
        hardware: what the candidate says that it is for.
        capability: of the device, as '9.0'.
    """
    own = architectures_of(hardware)
    here = architectures_of([capability]) if capability else []
    if not own or not here or here[0] in own:
        return None
    return f"it is for {' and '.join(own)}, and this device is {here[0]}"


def nothing_ran(budget_s: float, reason: str, *, interpreted: bool) -> tuple[Status, Failure]:
    """The status and failure of a trial whose budget of time ended before any workload did.

    Args:
        reason: why the first workload was not run.
    """
    setting = "cpu_budget_s" if interpreted else "gpu_budget_s"
    why = (
        f"no workload fitted into the {budget_s:g} s that the setting {setting} gives to the "
        f"candidate, and as many to the reference: {reason}"
    )
    return not_judged("nothing_ran", why, Stage.CORRECTNESS)


def with_checked(failure: Failure, check: StaticCheck | None) -> Failure:
    """The failure with what compiling for targets showed all the same."""
    said = failure.message.rstrip(" .")
    if check is not None and check.reason and check.reason[:SAME_CHARACTERS].rstrip(".") in said:
        check = check.model_copy(update={"reason": None})
    return failure.model_copy(update={"message": f"{said}. {_checked_words(check)}"})


def _checked_words(check: StaticCheck | None) -> str:
    if check is None:
        return "Nothing else was checked."
    if check.status != "built":
        if not check.reason:
            return "Nor was it compiled for targets."
        return f"It was not compiled for targets: {check.reason.rstrip('.')}."
    found = {kernel.target for kernel in check.kernels}
    targets = " and ".join(sorted(found, key=lambda target: (len(target), target)))
    names = ", ".join(sorted({kernel.name for kernel in check.kernels})[:6])
    words = f"Checked here: it compiles for {targets} ({names})."
    return f"{words} {check.reason}" if check.reason else words
