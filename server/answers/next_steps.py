"""What to do with a verdict: the next steps, most important first.

Pure wording of a status, a scope and an interval; the verdict itself was reached elsewhere.
"""

from __future__ import annotations

from ...tools.schema.evaluation import Evaluation, Executor, Scope, Status


def next_steps(evaluation: Evaluation) -> list[str]:
    """What to do with this verdict, most important first."""
    identity = evaluation.evaluation_id
    if evaluation.status is Status.RUNNING:
        return [f"get_evaluation(evaluation_id='{identity}') waits for the verdict."]
    if evaluation.status is Status.INFRASTRUCTURE_ERROR:
        return [
            evaluation.failure.remedy if evaluation.failure else "Evaluate again.",
            "This was the harness's fault, not the candidate's: evaluate again unchanged; "
            "if it repeats, check_environment.",
        ]
    if evaluation.status is Status.INTERRUPTED:
        return ["Nothing was decided: evaluate_kernel again when you want the verdict."]
    if evaluation.status is Status.NOT_JUDGED:
        return _after_no_judgement(evaluation)
    if evaluation.status is Status.INVALID_REFERENCE:
        return [
            evaluation.failure.remedy if evaluation.failure else "Correct the definition.",
            "No change to the candidate helps: tell the person who owns the definition.",
        ]
    if evaluation.status is Status.COMPILED:
        return _after_compiling(evaluation)
    if evaluation.status is Status.PARTIAL:
        return _after_part(evaluation)
    if evaluation.status is not Status.PASSED:
        return _after_failure(evaluation)
    return _after_pass(evaluation)


def _after_failure(evaluation: Evaluation) -> list[str]:
    steps = [evaluation.failure.remedy] if evaluation.failure else []
    if evaluation.status is Status.INTEGRITY_VIOLATION:
        steps.append(
            "Remove what the finding names; the skill read-the-verdict explains each claim. "
            "A violation is never promoted."
        )
    elif evaluation.status is Status.INCORRECT_NUMERICAL:
        steps.append(
            "Final for these sources: change the kernel, not the seed. Fix the named output and "
            "index first, then evaluate_kernel(scope='smoke')."
        )
    else:
        scope = "static" if _runs_elsewhere(evaluation) else "smoke"
        steps.append(f"Fix this one thing and call evaluate_kernel with scope='{scope}'.")
    steps.append(
        f"If you give this idea up, archive_candidate(evaluation_id="
        f"'{evaluation.evaluation_id}', hypothesis=…, lesson=…), so that it is not tried again."
    )
    return steps


def _on_a_gpu(evaluation: Evaluation) -> bool:
    device = evaluation.evidence.device
    return device is not None and device.executor is Executor.CUDA


def _runs_elsewhere(evaluation: Evaluation) -> bool:
    """Whether this machine can compile the candidate and cannot run it."""
    return evaluation.language == "cuda" and not _on_a_gpu(evaluation)


def _after_compiling(evaluation: Evaluation) -> list[str]:
    built = evaluation.static is not None and evaluation.static.status == "built"
    said = "It compiles" if built else "It imports, but no kernel was compiled"
    if _runs_elsewhere(evaluation):
        return [f"{said}; nothing has run. CUDA C++ runs on a machine with an NVIDIA GPU only."]
    return [f"{said}; nothing has run. evaluate_kernel(scope='smoke') runs it."]


def _after_no_judgement(evaluation: Evaluation) -> list[str]:
    steps = [evaluation.failure.remedy] if evaluation.failure else []
    return [
        *steps,
        "Nothing is held against the candidate. Changing it so that it runs here may change what "
        "it does on its device.",
    ]


def _after_part(evaluation: Evaluation) -> list[str]:
    steps = [
        "Nothing was wrong as far as it ran, which is no verdict: it neither ranks nor promotes. "
        "`partial_reason` says what is missing: time (settings cpu_budget_s, gpu_budget_s, or a "
        "quicker machine), or data of the operator."
    ]
    if evaluation.scope not in (Scope.STATIC, Scope.SMOKE):
        steps.append("evaluate_kernel(scope='smoke') judges one small workload to the end.")
    return steps


def _after_pass(evaluation: Evaluation) -> list[str]:
    archive = (
        f"archive_candidate(evaluation_id='{evaluation.evaluation_id}', hypothesis=…, lesson=…) "
        "keeps it."
    )
    if evaluation.scope is Scope.SMOKE:
        does = "checks and times it" if _on_a_gpu(evaluation) else "checks it on more of them"
        return [f"Correct on few inputs; evaluate_kernel(scope='sample') {does}."]
    if evaluation.totals.mean_latency_us is None:
        return [archive, "It has no latency: evaluate it on a machine with an NVIDIA GPU."]
    interval = evaluation.totals.ratio_interval
    gained = interval is not None and interval[0] > 1
    if gained and evaluation.scope is Scope.SAMPLE:
        return [
            archive,
            "evaluate_kernel(scope='full') shows that it holds on every workload; "
            "promote_candidate asks for the rest of the evidence.",
        ]
    if gained:
        return [archive, "promote_candidate(candidate_id=…) decides whether it becomes the best."]
    slowest = max(evaluation.workloads, key=lambda w: w.latency_us or 0.0, default=None)
    where = f", workloads=['{slowest.uuid[:8]}']" if slowest else ""
    return [
        f"Not shown to be faster. profile_ncu(workspace=…{where}) says what limits it.",
        archive,
    ]
