"""The message of a candidate's commit: subject, the agent's words, trailers.

Every number in it comes from the evaluation; what the agent says is quoted, never counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from ....schema.evaluation import Evaluation, Status
from ....schema.measurement import UNSEALABLE
from ....schema.search.made_by import MadeBy
from ....text import one_line
from ..entry import CandidateFacts, number, undecided_words
from ..manifest import CandidateManifest


def commit_message(
    manifest: CandidateManifest,
    facts: CandidateFacts,
    evaluation: Evaluation,
    parents: Sequence[str],
) -> str:
    """Subject, the agent's hypothesis and lesson, and the trailers as the last paragraph."""
    paragraphs = [_subject(manifest, facts, evaluation)]
    if manifest.hypothesis:
        paragraphs.append(f"Hypothesis: {one_line(manifest.hypothesis, 1_000)}")
    if manifest.lesson:
        paragraphs.append(f"Lesson: {one_line(manifest.lesson, 1_000)}")
    block = _trailers(manifest, facts, evaluation, parents)
    paragraphs.append("\n".join(f"{key}: {one_line(value) or 'none'}" for key, value in block))
    return "\n\n".join(paragraphs) + "\n"


def _subject(manifest: CandidateManifest, facts: CandidateFacts, evaluation: Evaluation) -> str:
    if not facts.verified:
        outcome = "unverified"
    elif facts.latency_us is not None:
        baseline = evaluation.baseline or "baseline"
        versus = f", {number(facts.speedup)}x {baseline}" if facts.speedup else ""
        clock = f" {said}" if (said := clock_said(facts)) else ""
        outcome = f"{number(facts.latency_us)} us{clock}{versus}"
    elif evaluation.failure is None and (words := undecided_words(evaluation)) is not None:
        outcome = words
    elif evaluation.status is Status.PASSED:
        outcome = "passed untimed"
    else:
        kind = evaluation.failure.kind if evaluation.failure else facts.stage
        outcome = f"{facts.status} ({kind})"
    return one_line(f"{manifest.name}: {outcome} on {facts.hardware}", 120)


def clock_said(facts: CandidateFacts) -> str:
    """The clock as commits name it; empty for claims of records that say nothing of clocks.

    Those are archived again as they were: a commit that names no clock means a claim.
    """
    return "" if facts.clock_reason == UNSEALABLE else facts.clock


def _trailers(
    manifest: CandidateManifest,
    facts: CandidateFacts,
    evaluation: Evaluation,
    parents: Sequence[str],
) -> list[tuple[str, str]]:
    device, interval = evaluation.evidence.device, evaluation.totals.ratio_interval
    lines = [
        ("Definition", manifest.definition),
        ("Language", manifest.language),
        ("Hardware", device.name if device else "none"),
        ("Status", facts.status),
        ("Scope", facts.scope),
    ]
    if facts.latency_us is not None:
        lines.append(("Latency-us", number(facts.latency_us)))
        if said := clock_said(facts):
            lines.append(("Clock", said))
        if said and facts.clock_reason:
            lines.append(("Clock-Reason", facts.clock_reason))
    if facts.speedup is not None:
        lines.append(("Speedup", number(facts.speedup)))
        if interval is not None:
            lines.append(("Speedup-Interval", f"{number(interval[0])}..{number(interval[1])}"))
        lines.append(("Baseline", evaluation.baseline or "none"))
    if evaluation.failure is not None and facts.verified:
        lines.append(("Failure", f"{evaluation.failure.stage}/{evaluation.failure.kind}"))
    lines += [("Technique", tag) for tag in manifest.technique]
    lines += [
        ("Evaluation", facts.evaluation_id),
        ("Content-Hash", facts.content_hash),
        ("Workload-Digest", evaluation.workload_digest),
    ]
    lines += [("Parent-Candidate", parent) for parent in parents]
    lines += [("Plan", manifest.plan)] if manifest.plan else []
    lines += authorship(manifest.made_by)
    lines.append(("Harness", manifest.harness_version or "unknown"))
    return lines


def authorship(said: MadeBy) -> list[tuple[str, str]]:
    """Who made something, as far as it was said: older commits have no such lines."""
    lines = [
        ("Client", f"{said.client} {said.client_version}".strip()),
        ("Model", said.model),
        ("Effort", said.effort),
        ("Session", said.session),
        *(("Skill", f"{name} {digest}") for name, digest in said.skills.items()),
    ]
    return [(key, value) for key, value in lines if value]


def read_trailers(message: str) -> dict[str, list[str]]:
    """The trailers of a commit message written by `commit_message`."""
    found: dict[str, list[str]] = {}
    for line in message.rstrip("\n").rsplit("\n\n", 1)[-1].splitlines():
        key, separator, value = line.partition(": ")
        if separator:
            found.setdefault(key, []).append(value)
    return found
