"""Whether a solution, the record of its evaluation and a definition belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....errors import ArchiveError
from ....schema.evaluation import Evaluation, Scope, Status

if TYPE_CHECKING:
    from ....schema.flashinfer_trace import Definition, Solution


def refuse_mismatch(solution: Solution, evaluation: Evaluation, definition: Definition) -> None:
    """Raises ArchiveError for a record of other sources, of another operator, or without result."""
    where = f"evaluation {evaluation.evaluation_id}"
    if evaluation.status is Status.RUNNING:
        raise ArchiveError(
            "The evaluation is still running",
            where=where,
            remedy="Ask get_evaluation until it has a verdict, then archive.",
        )
    ran = [w for w in evaluation.workloads if w.status is Status.PASSED]
    if evaluation.status is Status.PASSED and evaluation.scope is not Scope.STATIC and not ran:
        raise ArchiveError(
            "The evaluation passed on no workload, which shows nothing",
            where=where,
            remedy="See that the operator has workloads (list_workloads), then evaluate again.",
        )
    names = {solution.definition, evaluation.definition, definition.name}
    if len(names) > 1:
        raise ArchiveError(
            f"Solution, evaluation and definition name different operators: {', '.join(names)}",
            where=where,
            remedy="Archive a solution with its own evaluation.",
        )
    if evaluation.content_hash != solution.content_hash():
        raise ArchiveError(
            f"The evaluation judged sources {evaluation.content_hash[:12]}, these are"
            f" {solution.content_hash()[:12]}",
            where=where,
            remedy="The sources changed since. Evaluate these and archive that; or get those that "
            f"were judged by open_workspace(start_from={evaluation.evaluation_id!r}), and archive "
            "this evaluation from there.",
        )
