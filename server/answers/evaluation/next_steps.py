"""What to do with a verdict: the next steps, most important first.

Pure wording of a record; the verdict itself was reached elsewhere. Every call that a step names is
one that the tools accept and that this record's machine can do, and no two steps of an answer ask
for opposite things: `tests/server/answers/test_next_steps.py` tries every kind of record.
"""

from __future__ import annotations

from ....tools.devices.targets import architectures_of
from ....tools.schema.evaluation import Evaluation, Executor, Scope, Status
from ....tools.schema.measurement import TimeSource
from ....tools.text import short_uuid
from ..text import cut

WRONG_VALUES = (Status.INCORRECT_NUMERICAL, Status.INCORRECT_SHAPE, Status.INCORRECT_DTYPE)
COMPILES_ALL_THE_SAME = ("needs_gpu", "interpreter_limit", "other_device")
"""Kinds of what this machine cannot run, and may be able to compile."""


def next_steps(evaluation: Evaluation, unverified: str | None = None) -> list[str]:
    """What to do with this verdict, most important first.

    Args:
        unverified: why the record does not count here; None when it does.
    """
    if unverified is not None:
        again = _evaluate(evaluation.scope)
        return [f"{again} judges these sources here; what this record says counts for nothing."]
    if evaluation.status is Status.PASSED and evaluation.scope is not Scope.STATIC:
        return _after_pass(evaluation)
    steps = {
        Status.RUNNING: _while_running,
        Status.INFRASTRUCTURE_ERROR: _after_a_fault,
        Status.INTERRUPTED: _after_an_interruption,
        Status.NOT_JUDGED: _after_no_judgement,
        Status.INVALID_REFERENCE: _after_an_invalid_reference,
        Status.COMPILED: _after_compiling,
        Status.PASSED: _after_compiling,  # at scope static, as older records called it
        Status.PARTIAL: _after_part,
    }
    return steps.get(evaluation.status, _after_failure)(evaluation)


def _evaluate(scope: Scope, more: str = "") -> str:
    return f"evaluate_kernel(workspace=…, scope='{scope}'{more})"


BUDGET = "budget"
"""In the reason of what was not run for want of time."""
ARCHIVE = "archive_candidate(workspace=…, evaluation_id=…, hypothesis=…, lesson=…)"


def _remedy(evaluation: Evaluation) -> list[str]:
    return [evaluation.failure.remedy] if evaluation.failure else []


def _on_a_gpu(evaluation: Evaluation) -> bool:
    device = evaluation.evidence.device
    return device is not None and device.executor is Executor.CUDA


def _runs_elsewhere(evaluation: Evaluation) -> str | None:
    """Where a candidate runs that this machine can only compile; None when it runs here."""
    device = evaluation.evidence.device
    if not _on_a_gpu(evaluation):
        return "a machine with an NVIDIA GPU" if evaluation.language == "cuda" else None
    kernels = evaluation.static.kernels if evaluation.static else []
    capability = device.compute_capability if device else None
    compiled = architectures_of(kernel.target for kernel in kernels)
    if not compiled or not capability or set(compiled) & set(architectures_of([capability])):
        return None
    return f"a device of {' or '.join(compiled)}"


def _while_running(evaluation: Evaluation) -> list[str]:
    identity = evaluation.evaluation_id
    return [f"get_evaluation(evaluation_id='{identity}') waits for the verdict."]


def _after_a_fault(evaluation: Evaluation) -> list[str]:
    return [
        *_remedy(evaluation),
        "This was the harness's fault, not the candidate's: evaluate again unchanged; if it "
        "repeats, check_environment() shows what this machine lacks.",
    ]


def _after_an_interruption(evaluation: Evaluation) -> list[str]:
    return [f"Nothing was decided: {_evaluate(evaluation.scope)} when you want the verdict."]


def _after_no_judgement(evaluation: Evaluation) -> list[str]:
    steps = [*_remedy(evaluation), "Nothing is held against the candidate."]
    assert evaluation.failure is not None
    kind, scope = evaluation.failure.kind, evaluation.scope
    compiled = evaluation.static is not None and evaluation.static.status == "built"
    if kind in COMPILES_ALL_THE_SAME and not compiled and scope is not Scope.STATIC:
        steps.append(f"{_evaluate(Scope.STATIC)} compiles it here.")
    if kind == "nothing_ran" and scope is not Scope.SMOKE:
        steps.append(f"{_evaluate(Scope.SMOKE)} judges the smallest workload alone.")
    return steps


def _after_an_invalid_reference(evaluation: Evaluation) -> list[str]:
    return [
        *_remedy(evaluation),
        "No change to the candidate helps: tell the person who owns the definition.",
    ]


def _after_compiling(evaluation: Evaluation) -> list[str]:
    built = evaluation.static is not None and evaluation.static.status == "built"
    said = "It compiles" if built else "It imports, but no kernel was compiled"
    if (elsewhere := _runs_elsewhere(evaluation)) is not None:
        return [f"{said}; nothing has run. It runs on {elsewhere} only: evaluate it there."]
    return [f"{said}; nothing has run. {_evaluate(Scope.SMOKE)} runs it."]


def _after_part(evaluation: Evaluation) -> list[str]:
    setting = "gpu_budget_s" if _on_a_gpu(evaluation) else "cpu_budget_s"
    time = BUDGET in (evaluation.partial_reason or "")
    more = f" For more time raise the setting {setting}." if time else ""
    steps = [f"Right as far as it ran (`partial_reason`), which neither ranks nor promotes.{more}"]
    if evaluation.scope is not Scope.SMOKE:
        steps.append(f"{_evaluate(Scope.SMOKE)} judges one small workload to the end.")
    return steps


def _after_failure(evaluation: Evaluation) -> list[str]:
    steps, status = _remedy(evaluation), evaluation.status
    static = evaluation.scope is Scope.STATIC or _runs_elsewhere(evaluation) is not None
    again = _evaluate(Scope.STATIC if static else Scope.SMOKE)
    if status is Status.INTEGRITY_VIOLATION:
        steps.append(
            "Remove what the finding names; the skill read-the-verdict explains each claim. "
            "A violation is never promoted."
        )
    elif status in WRONG_VALUES:
        steps.append(
            "Final for these sources: change the kernel, not the seed. Fix the output that the "
            f"failure names first, then {again}."
        )
    else:
        steps.append(f"Fix this one thing, then {again}.")
    if status is not Status.INVALID_CANDIDATE:  # it is no trial of an idea yet
        steps.append(f"If you give this idea up, {ARCHIVE}, so that it is not tried again.")
    return steps


def _after_pass(evaluation: Evaluation) -> list[str]:
    archive, scope = f"{ARCHIVE} keeps it.", evaluation.scope
    if scope is Scope.SMOKE:
        does = "checks and times it" if _on_a_gpu(evaluation) else "checks it on more of them"
        return [f"Correct on few inputs; {_evaluate(Scope.SAMPLE)} {does}."]
    if evaluation.totals.mean_latency_us is None:
        return [archive, _without_latency(evaluation)]
    if family := evaluation.input_family:
        return [f"Times on inputs {family} rank nowhere; {_evaluate(scope)} takes those that do."]
    interval = evaluation.totals.ratio_interval
    if interval is None or interval[0] <= 1:
        return [_not_faster(evaluation), archive]
    sealing = evaluation.sealing
    if sealing is not None and sealing.source is TimeSource.CLAIMED:
        return [
            archive,
            "Claimed times never promote: change what `totals.clock_reason` names, "
            f"then {_evaluate(scope, ', force=true')} measures again.",
        ]
    if scope is Scope.SAMPLE:
        return [archive, f"{_evaluate(Scope.FULL)} tries every workload."]
    return [archive, "promote_candidate(candidate_id=…) decides whether it becomes the best."]


def _without_latency(evaluation: Evaluation) -> str:
    if not _on_a_gpu(evaluation):
        return "It has no latency: evaluate it on a machine with an NVIDIA GPU."
    reasons = [result.reason for result in evaluation.workloads if result.reason]
    reason = evaluation.not_timed_reason or next(iter(reasons), "no workload was timed")
    return f"It has no latency, so that it cannot rank: {reason}."


def _not_faster(evaluation: Evaluation) -> str:
    slowest = max(evaluation.workloads, key=lambda w: w.latency_us or 0.0, default=None)
    where = f", workloads=['{short_uuid(slowest.uuid)}']" if slowest else ""
    profile = f"profile_ncu(workspace=…{where}) says what limits it."
    if evaluation.baseline is not None:
        return f"Not shown to be faster. {profile}"
    compared = _evaluate(evaluation.scope, ", compare_to=…")
    return f"It was compared with nothing: {compared} compares it. {profile}"


def not_committed_words(reason: str) -> str | None:
    """Why a verdict is in no commit and what changes that; None where there is no reason."""
    if not reason:
        return None
    return (
        f"In no commit yet: {cut(reason, 300)}. The record is on disk; the same call commits it "
        "when git works again, and so does archive_candidate."
    )
