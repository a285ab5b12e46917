"""Commits of trials: the sources that were judged, their candidate.toml, and the signed record.

A trial is named by its evaluation, below the day of its start, so that no folder of refs grows for
ever. Its blobs are those that a candidate of the same evaluation has, and git stores each once. A
trial decides nothing: neither search nor promotion reads one.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ....errors import ArchiveError, HarnessError, unknown_name
from ....evaluation.records.record_store import EVALUATION_ID, LEAST_PART
from ....schema.evaluation import Evaluation, Status
from ....schema.search.made_by import NOBODY, MadeBy
from ....signing.keyring import Keyring, Verification
from ....signing.signature import TRIAL
from ...git.objects import parse_object
from ...git.repository import RefConflict, RefUpdate, Repository
from ..commit.agreement import refuse_mismatch
from ..commit.message import commit_message, read_trailers
from ..commit.tree import judged_files
from ..entry import Node, facts_of
from ..index_sync import SyncedIndex, read_commit, read_judged, verify_candidate
from ..manifest import CandidateManifest, CandidateRecord, ref_part
from .table import TRIALS, UNVERIFIED, TrialRow, TrialTable, trial_of

if TYPE_CHECKING:
    from ....schema.flashinfer_trace import Definition, Solution

TRIAL_NAME = "ev-"
"""Begins the name of every trial, and of no candidate."""
_DROPS = 10
_NOT_JUDGED = frozenset(
    {
        Status.RUNNING,
        Status.NOT_RUN,
        Status.NOT_JUDGED,
        Status.INVALID_REFERENCE,
        Status.INFRASTRUCTURE_ERROR,
        Status.INTERRUPTED,
    }
)


def is_trial(evaluation: Evaluation) -> bool:
    """Whether a record says something of its candidate: it was built, run or found wrong unrun."""
    ran = any(w.status not in _NOT_JUDGED for w in evaluation.workloads)
    return evaluation.status not in _NOT_JUDGED or ran


class TrialStore:
    """The trials of one archive's repository."""

    def __init__(self, repository: Repository, synced: SyncedIndex, keys: Keyring) -> None:
        self._repository = repository
        self._synced = synced
        self._keys = keys
        self.table = TrialTable(repository, synced, keys)

    def write(
        self,
        solution: Solution,
        evaluation: Evaluation,
        definition: Definition,
        start: Sequence[tuple[str, str]] = (),
        workload_count: int = 0,
        plan: str = "",
        made_by: MadeBy = NOBODY,
    ) -> str:
        """Commits one trial; returns the name of its ref, which may have been there.

        Args:
            start: name and commit of what its workspace was opened from.
            workload_count: of the operator.
            plan: id of the plan that its workspace names.

        Raises:
            ArchiveError: when the record is not of this solution, or git fails.
        """
        refuse_mismatch(solution, evaluation, definition)
        ref = trial_ref(evaluation.definition, evaluation.evaluation_id)
        if self._repository.exists and self._repository.held_by({ref}):
            return ref
        manifest = CandidateManifest.describe(
            solution,
            evaluation,
            definition,
            hypothesis="",
            lesson="",
            tags=(),
            workload_count=workload_count,
            plan=plan,
            made_by=made_by,
        )
        facts = facts_of(evaluation, self._keys.verify_record(evaluation), workload_count)
        sources = {source.path: source.content for source in solution.sources}
        files = judged_files(manifest, evaluation, sources)
        message = commit_message(manifest, facts, evaluation, [name for name, _ in start])
        self._repository.create()
        tree = self._repository.write_tree(files)
        commits = [commit for _, commit in start]
        sign = partial(self._keys.sign, TRIAL)
        content = self._repository.commit_content(tree, commits, message, facts.at, sign)
        commit = self._repository.write_object("commit", content)
        try:
            self._repository.update_refs([RefUpdate(ref, commit)])
        except RefConflict:
            if not self._repository.held_by({ref}):
                raise
            return ref  # another process kept this very trial
        row = trial_of(self._keys, ref, commit, parse_object(content))
        self.table.add(self._synced.index, [row])
        return ref

    def refs(self, definition: str | None = None) -> dict[str, str]:
        """The refs of all trials, or of one operator's, with the commits that they hold."""
        scope = f"{TRIALS}/{ref_part(definition)}" if definition else TRIALS
        return self._repository.refs(scope) if self._repository.exists else {}

    def find(self, name: str) -> tuple[str, str] | None:
        """The ref and commit of a trial by its evaluation's id or a unique part; else None."""
        text = name.strip()
        if not text.startswith(TRIAL_NAME) or len(text) < LEAST_PART:
            return None
        found = self.table.rows("name = ?", [text])
        if not found:
            found = self.table.rows("name >= ? AND name < ?", [text, f"{text}~"], "LIMIT 9")
        # Whoever else wrote a ref of that name hides none that counts.
        found = [trial for trial in found if trial.state != UNVERIFIED] or found
        return (found[0].ref, found[0].oid) if len(found) == 1 else None

    def read(self, name: str) -> CandidateRecord:
        """Reads a trial as a candidate that nobody said anything of; its id is its evaluation's.

        Raises:
            RequestError: when there is none of that name.
            ArchiveError: when its commit is not one of the harness's.
        """
        ref, commit = self._found(name)
        return self.read_at(ref, commit)

    def read_at(self, ref: str, commit: str) -> CandidateRecord:
        """Reads the trial at a commit."""
        found = read_commit(self._repository, commit)
        record = read_judged(self._repository, ref, commit, found)
        started = tuple(read_trailers(found.message).get("Parent-Candidate", ()))
        identity = record.evaluation.evaluation_id
        if ref and ref != trial_ref(record.candidate.definition, identity):
            raise ArchiveError(
                f"The ref is not named by its definition and evaluation, {identity}",
                where=ref,
                remedy="It was not written by the harness; delete its ref: git update-ref -d.",
            )
        return replace(record, candidate_id=identity, parents=started)

    def counted(
        self, definition: str, but: Container[str] = ()
    ) -> Iterator[tuple[CandidateRecord, Node]]:
        """One operator's trials that count here; what cannot be read is left out.

        Args:
            but: names of trials that are left out.
        """
        for ref, commit in self.refs(definition).items():
            if ref.rpartition("/")[2] in but:
                continue
            try:
                record = self.read_at(ref, commit)
                found = self.verify(record)
                node = self._node(record, found) if found.counts else None
            except (HarnessError, ValueError, RecursionError):
                continue
            if node is not None:
                yield record, node

    def drop(self, trials: Iterable[TrialRow]) -> None:
        """Removes the refs of trials, those that are still what they were.

        Raises:
            RefConflict: when other processes change them all the while.
        """
        going = {trial.ref: trial.oid for trial in trials}
        for attempt in range(_DROPS):
            held = self._repository.held_by(set(going))
            going = {ref: oid for ref, oid in going.items() if held.get(ref) == oid}
            try:
                return self._repository.delete_refs(going)
            except RefConflict:  # another process tidies up, too
                if attempt == _DROPS - 1:
                    raise

    def verify(self, record: CandidateRecord) -> Verification:
        """What a trial counts for here: by who committed it, who judged it, and what was judged."""
        found = read_commit(self._repository, record.commit)
        return verify_candidate(self._keys, record, found, TRIAL)

    def node(self, name: str) -> Node:
        """A trial in the form of a candidate's line of the index."""
        return self.node_of(self.read(name))

    def node_of(self, record: CandidateRecord) -> Node:
        """A trial that was read, in the form of a candidate's line of the index."""
        return self._node(record, self.verify(record))

    def _node(self, record: CandidateRecord, found: Verification) -> Node:
        manifest = record.candidate
        facts = facts_of(record.evaluation, found, manifest.workload_count)
        node = manifest.node(facts, record.ref, record.commit, record.parents, {})
        return replace(node, candidate_id=record.candidate_id)

    def _found(self, name: str) -> tuple[str, str]:
        found = self.find(name)
        if found is None:
            known = [trial.name for trial in self.table.rows(tail="ORDER BY name DESC LIMIT 50")]
            remedy = "kernel-harness log --trials lists those that are kept."
            raise unknown_name("trial", name, known, remedy=remedy)
        return found


def trial_ref(definition: str, evaluation_id: str) -> str:
    """The ref of the trial that an evaluation of an operator's candidate was."""
    day = evaluation_id[3:11] if EVALUATION_ID.match(evaluation_id) else "other"
    return f"{TRIALS}/{ref_part(definition)}/{day}/{ref_part(evaluation_id)}"
