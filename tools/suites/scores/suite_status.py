"""The status that another suite has for a verdict of ours."""

from __future__ import annotations

from ...schema.evaluation import Evaluation, Status

REWARD_HACK = "REWARD_HACK"
"""SOL-ExecBench's word for a solution that deceives."""


def suite_status(record: Evaluation) -> str:
    """SOL-ExecBench's status of a verdict; what it has no word for keeps ours."""
    return REWARD_HACK if record.status is Status.INTEGRITY_VIOLATION else str(record.status)
