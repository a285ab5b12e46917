"""What was tried and learnt, for one harness: archiving, searching, choosing what to expand.

Thin: it finds what the archive's rooms need (operator, record, sources) and hands it to them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import ArchiveError, HarnessError
from ..evaluation.record_store import RecordStore
from ..schema.flashinfer_trace import Solution
from ..workloads.dataset import Dataset
from ..workloads.solution_folder import read_candidate_file, read_solution
from .search.anchors import BEGIN, check_change
from .store.archive import AnchorCheck, Archive, ArchivedCandidate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArchiveService:
    """The archive with what is needed to fill and to ask it."""

    archive: Archive
    records: RecordStore
    dataset: Dataset
    profiles_dir: Path

    def archive_candidate(
        self,
        solution: Solution,
        evaluation_id: str,
        hypothesis: str,
        lesson: str | None,
        parents: Sequence[str],
        tags: Sequence[str],
    ) -> ArchivedCandidate:
        """Archives one trial, failed ones too, with the profiles taken of these very sources.

        Raises:
            ArchiveError: when the evaluation is not of these sources, or not over.
        """
        evaluation = self.records.get(self.records.resolve(evaluation_id))
        operator = self.dataset.operator(evaluation.definition)
        if not hypothesis.strip():
            raise ArchiveError(
                "A candidate without a hypothesis teaches nothing",
                remedy="Say in a sentence what was changed and what it should have improved.",
            )
        archived = self.archive.add(
            solution=solution,
            evaluation=evaluation,
            definition=operator.definition,
            workloads=operator.workloads,
            hypothesis=hypothesis,
            lesson=lesson,
            parents=parents,
            tags=tags,
            profiles=self._profiles(evaluation.content_hash),
        )
        return replace(archived, anchors=self._anchors(archived.candidate_id, solution))

    def search(self, definition: str | None, **filters: Any) -> Any:
        """Searches candidates, lessons and skills; see `archive.search.search`."""
        # The index needs sqlite and regular expressions that a starting server need not load.
        from .search.query import search

        name = None
        if definition:
            operator = self.dataset.operator(definition)
            name = operator.name
            filters.setdefault("op_type", operator.definition.op_type)
        skills = Path(str(files("kernel_harness.skills")))
        return search(self.archive, definition=name, skills_dir=skills, **filters)

    def select_parent(self, definition: str, policy: str, seed: int | None) -> Any:
        """The candidate to expand next; see `archive.selection.select_parent`."""
        from .search.parent_selection import select_parent

        return select_parent(self.archive, self.dataset.operator(definition).name, policy, seed)

    def context(self, role: str, candidate_id: str) -> Any:
        """A role's window; see `archive.contexts.get_context`."""
        from .search.role_context import get_context

        return get_context(self.archive, role, candidate_id)

    def recognise(self, solution: Solution) -> Any:
        """Whether these sources, or the same program formatted otherwise, were tried before.

        None also when the archive cannot be asked: a verdict must not be lost to its memory.
        """
        from .search.query import recognise

        try:
            return recognise(self.archive, solution)
        except Exception:
            log.warning("The archive could not be asked for a candidate", exc_info=True)
            return None

    def held_to_plan(self, folder: Path) -> AnchorCheck | None:
        """Whether a workspace stayed inside the regions marked in the candidate it began from.

        None also where it began from a template or a shipped solution, which mark nothing.
        """
        try:
            begun_from = read_candidate_file(folder).started_from
            parent = self.archive.resolve(begun_from) if begun_from else None
            return self._held_to(parent, read_solution(folder)) if parent else None
        except HarnessError:
            return None

    def _anchors(self, candidate_id: str, solution: Solution) -> AnchorCheck | None:
        """Whether a change stayed inside the regions that its first parent with anchors marks."""
        parents = (parent.candidate_id for parent in self.archive.parents(candidate_id))
        found = (self._held_to(parent, solution) for parent in parents)
        return next((check for check in found if check is not None), None)

    def _held_to(self, parent: str, solution: Solution) -> AnchorCheck | None:
        plan = self.archive.get(parent).sources
        if not any(BEGIN in text for text in plan.values()):
            return None
        child = {source.path: source.content for source in solution.sources}
        return AnchorCheck(parent, check_change(plan, child))

    def _profiles(self, content_hash: str) -> dict[str, bytes]:
        folder = self.profiles_dir / content_hash[:64]
        if not folder.is_dir():
            return {}
        found = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size < 1 << 20)
        return {p.relative_to(folder).as_posix().replace("/", "-"): p.read_bytes() for p in found}
