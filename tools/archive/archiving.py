"""Archiving, searching and recognising candidates, for the operators and records of one harness."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ArchiveError, RequestError
from ..evaluation.plan import EvaluationRequest
from ..evaluation.records.record_store import RecordStore
from ..schema.evaluation import Evaluation
from ..schema.flashinfer_trace import Solution
from ..schema.recognition import AnchorCheck, Recognition
from ..schema.search.made_by import NOBODY, MadeBy
from ..text import one_line
from ..workloads.dataset import Dataset
from .retrieval.filters import SearchRequest
from .retrieval.query import SearchResult, search
from .retrieval.repeats import recognise
from .search.advice import Advice, Budget, advice_on, advice_on_forecast
from .search.parent_selection import Selection, select_parent
from .search.plans import check_plan
from .search.role_context import RoleContext, get_context
from .search.tree import SearchRules
from .store.archive import Archive
from .store.entry import Node
from .store.manifest import MOST_PROFILE_BYTES
from .store.normalise import normalised_hash
from .store.trials.commits import is_trial
from .store.trials.lineage import NO_PARENT, DerivedFrom, derived_from, start_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArchivedCandidate:
    """A candidate in the archive, and what the search says after it.

    Attributes:
        already: its evaluation was archived before.
        amended: it was, with other words; they were added to it.
        anchors: None without a plan, and when it does not mark where the sources may change.
        parent_words: how its parents were found where none were named; empty otherwise.
    """

    node: Node
    already: bool
    advice: tuple[Advice, ...]
    anchors: AnchorCheck | None
    amended: bool = False
    parent_words: str = ""


@dataclass(frozen=True)
class ArchiveService:
    """The archive, the records that fill it, and profiles by content hash."""

    archive: Archive
    records: RecordStore
    dataset: Dataset
    profiles_dir: Path
    budget: Budget = Budget()
    rules: SearchRules = SearchRules()
    skills_dirs: tuple[Path, ...] = ()

    def archive_candidate(
        self,
        solution: Solution,
        evaluation_id: str,
        hypothesis: str,
        *,
        lesson: str | None = None,
        parents: Sequence[str] | None = None,
        tags: Sequence[str] = (),
        started_from: str | None = None,
        plan: str | None = None,
        made_by: MadeBy = NOBODY,
    ) -> ArchivedCandidate:
        """Archives one trial, failed ones too, with the profiles taken of the same sources.

        Args:
            parents: ids of what it was derived from, none at a root; what its workspace was
                opened from where it is None.
            started_from: what the workspace says of that, for evaluations without a trial.
            plan: id of the plan that the workspace names.

        Raises:
            ArchiveError: when the evaluation is not of these sources or not over, or there is no
                hypothesis.
            RequestError: when a parent or the plan is unknown.
        """
        evaluation = self.records.get(self.records.resolve(evaluation_id))
        operator = self.dataset.operator(evaluation.definition)
        if not hypothesis.strip():
            raise ArchiveError(
                "A candidate without a hypothesis teaches nothing",
                remedy="Say in a sentence what was changed and what it should have improved.",
            )
        held = self.archive.plans.read(plan).plan_id if plan else ""
        found = self._parents(evaluation.evaluation_id, parents, started_from)
        stored = self.archive.add(
            solution=solution,
            evaluation=evaluation,
            definition=operator.definition,
            workloads=operator.workloads,
            hypothesis=hypothesis,
            lesson=lesson,
            parents=found.parents if parents is not None else found.parents or None,
            tags=tags,
            profiles=self._profiles(evaluation.content_hash),
            plan=held,
            made_by=made_by,
        )
        node = stored.node
        return ArchivedCandidate(
            node,
            stored.already,
            () if stored.already else self._advice(node),
            check_plan(self.archive, held, solution) if held else None,
            stored.amended,
            "" if stored.already else found.words,
        )

    def _advice(self, node: Node) -> tuple[Advice, ...]:
        """Advice on the search, then what became of the forecast of the candidate's plan."""
        forecast = advice_on_forecast(self.archive, node)
        found = advice_on(self.archive, node.definition, self.budget)
        return (*found, forecast) if forecast else found

    def _parents(
        self, evaluation_id: str, parents: Sequence[str] | None, started_from: str | None
    ) -> DerivedFrom:
        """The parents that are named, or else those that the workspace's start means."""
        if parents is not None:
            names = [name.strip() for name in parents]
            return DerivedFrom(tuple(n for n in names if n.lower() not in NO_PARENT))
        if self.archive.synced.current().nodes("evaluation_id = ?", [evaluation_id]):
            return DerivedFrom()  # it is archived: what was said of its parents stays
        return derived_from(self.archive, evaluation_id, started_from)

    def keep_trial(self, request: EvaluationRequest, evaluation: Evaluation) -> str:
        """Commits what was judged, unless it is archived; says in words why it could not.

        Never raises: a verdict must not be lost to git.
        """
        try:
            archived = "evaluation_id = ?", [evaluation.evaluation_id]
            operator = request.operator
            judged = is_trial(evaluation) and request.solution.definition == operator.name
            if judged and not self.archive.synced.current().nodes(*archived):
                self.archive.trials.write(
                    request.solution,
                    evaluation,
                    operator.definition,
                    start_of(self.archive, request.started_from),
                    len(operator.workloads),
                    request.plan or "",
                    request.made_by,
                )
        except Exception as error:
            log.warning("No commit of %s was made", evaluation.evaluation_id, exc_info=True)
            return one_line(str(error), 300) or type(error).__name__
        return ""

    def search(self, request: SearchRequest) -> SearchResult:
        """Searches candidates and skills; the definition may be given by a part of its name."""
        if request.definition:
            operator = self.dataset.operator(request.definition)
            op_type = request.op_type or operator.definition.op_type
            request = replace(request, definition=operator.name, op_type=op_type)
        definitions = {name: found.definition for name, found in self.dataset.operators.items()}
        found = search(self.archive, request, self.skills_dirs, definitions)
        return replace(found, open_trials=self.archive.trials.table.count_open(request.definition))

    def select_parent(self, definition: str, policy: str, seed: int | None = None) -> Selection:
        """Chooses the node of an operator's search tree to expand next."""
        name = self.dataset.operator(definition).name
        return select_parent(self.archive, name, policy, seed, rules=self.rules)

    def context(self, role: str, candidate_id: str, seed: int = 0) -> RoleContext:
        """Collects a role's window around one candidate, with the operator's reference."""
        operators = self.dataset.operators
        operator = operators.get(self.archive.node(candidate_id).definition)
        reference = operator.definition.reference if operator is not None else ""
        return get_context(
            self.archive, role, candidate_id, reference=reference, seed=seed, rules=self.rules
        )

    def recognise(self, request: EvaluationRequest) -> Recognition:
        """Looks up a program that is to be judged in the archive.

        Empty also when the archive cannot be asked: a verdict must not be lost to it.
        """
        solution = request.solution
        try:
            return Recognition(
                prior_run=recognise(self.archive, solution),
                anchors=self._held_to(request.plan, solution),
                program=normalised_hash(solution),
            )
        except Exception:
            log.warning("The archive could not be asked for a candidate", exc_info=True)
            return Recognition()

    def _held_to(self, plan: str | None, solution: Solution) -> AnchorCheck | None:
        """The check against a workspace's plan; None for a plan that is not known here."""
        try:
            return check_plan(self.archive, plan, solution) if plan else None
        except RequestError:
            return None

    def _profiles(self, content_hash: str) -> dict[str, bytes]:
        folder = self.profiles_dir / content_hash[:64]
        files_in = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else []
        small = [p for p in files_in if p.stat().st_size < MOST_PROFILE_BYTES]
        return {p.relative_to(folder).as_posix().replace("/", "-"): p.read_bytes() for p in small}
