"""Records of evaluations for tests, whole where a test says nothing of a part."""

from __future__ import annotations

from typing import Any

from kernel_harness.tools.schema.evaluation import (
    UNFAILED,
    Evaluation,
    Evidence,
    Failure,
    Scope,
    Stage,
    Status,
)
from kernel_harness.tools.schema.flashinfer_trace import Solution

ID = "ev-20261120-221530-9f3a61c2"
STARTED = "2026-11-20T22:15:30+00:00"
FAILURE = Failure(stage=Stage.DONE, kind="k", message="m", remedy="R.")


def make_record(
    status: Status = Status.PASSED, *, of: Solution | None = None, **fields: Any
) -> Evaluation:
    """A record of that status.

    Args:
        status: with the failure or the reason that it needs.
        of: whose name, language, definition and bytes it has.
        fields: what the test says of it.
    """
    told: dict[str, Any] = {
        "evaluation_id": ID,
        "definition": "d",
        "solution_name": "mine",
        "language": "triton",
        "content_hash": "0" * 64,
        "workload_digest": "d",
        "scope": Scope.SAMPLE,
        "status": status,
        "stage": Stage.DONE,
        "failure": None if status in UNFAILED else FAILURE,
        "partial_reason": "one was not run" if status is Status.PARTIAL else None,
        "evidence": Evidence(started_at=STARTED),
    }
    if of is not None:
        told |= {
            "definition": of.definition,
            "solution_name": of.name,
            "language": str(of.spec.language),
            "content_hash": of.content_hash(),
        }
    return Evaluation(**{**told, **fields})
