"""Lines of the archive's index for tests that need no archive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kernel_harness.tools.archive.store.entry import CandidateStatus, Node


def made_node(candidate_id: str, *parents: str, **changes: Any) -> Node:
    """A candidate that was right and is as fast as its parents, but for what is changed."""
    plain = Node(
        candidate_id=candidate_id,
        commit=candidate_id,
        ref=f"refs/candidates/d/{candidate_id}",
        parents=parents,
        definition="d",
        op_type="",
        name=candidate_id,
        language="triton",
        hardware="H200",
        scope="full",
        status="PASSED",
        stage="done",
        outcome=CandidateStatus.EQUAL,
        outcome_words="",
        latency_us=None,
        speedup=None,
        noise=0.02,
        at=0,
        evaluation_id="ev-1",
        content_hash=candidate_id,
        normalised_hash=candidate_id,
    )
    return replace(plain, **changes)
