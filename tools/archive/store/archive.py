"""The archive: every trial, failed ones too, as a commit whose parents it was derived from.

Git is the truth; the index beside it is derived. A candidate becomes visible at one moment, when
its ref is created by compare-and-swap, so ten agents may write at once and one killed at any moment
leaves nothing half-written. A commit is dated by the start of its evaluation (never before its
newest parent), so the same record, words and identity give the same commit wherever it is written.
What it cannot promise: two processes that archive one evaluation with different words in the same
instant both succeed, and both candidates are true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import RequestError, unknown_name
from ...schema.evaluation import Evaluation, Scope
from ...schema.search.made_by import NOBODY, MadeBy
from ...schema.trace_export import to_traces
from ...signing.keyring import Keyring
from ...signing.signature import CANDIDATE
from ...text import printable
from ..git.repository import RefConflict, RefUpdate, Repository
from . import manifest as form
from .amendments import AMENDMENTS, Amendment, AmendmentWords, read_amendments, write_amendment
from .commit.agreement import refuse_mismatch
from .commit.message import commit_message
from .commit.tree import tree_files
from .entry import Node, facts_of
from .index import SEALED_FIRST
from .index_sync import CANDIDATES, SyncedIndex, amended_record, read_record
from .manifest import CandidateManifest, CandidateRecord
from .plans.listing import PlanListing
from .promotion_tags import promotion_events, promotion_stacks
from .trials.commits import TRIAL_NAME, TrialStore

if TYPE_CHECKING:
    from ...schema.flashinfer_trace import Definition, Solution, Workload


@dataclass(frozen=True)
class StoredCandidate:
    """A candidate in the archive.

    Attributes:
        already: its evaluation was there.
        amended: it was, with other words, which were added as an amendment.
    """

    node: Node
    already: bool = False
    amended: bool = False


class Archive:
    """Candidates of every operator in one git repository, created on first write, and its index."""

    def __init__(self, root: Path, keys: Keyring) -> None:
        self.root = Path(root)
        self.keys = keys
        self.repository = Repository(self.root / "repository.git")
        self.synced = SyncedIndex(self.repository, self.root, keys)
        self.trials = TrialStore(self.repository, self.synced, keys)
        self.plans = PlanListing(self.repository, keys, self.synced)

    def close(self) -> None:
        """Ends the helper process that reads git objects, and closes the index."""
        self.repository.close()
        self.synced.close()

    def rebuild_index(self) -> int:
        """Rebuilds the derived index from git alone; returns how many candidates there are."""
        return self.synced.rebuild()

    def object_ids(self) -> list[str]:
        """Ids of every candidate's commit and every promotion's tag that are not fetched."""
        found = self.repository.refs(CANDIDATES) | self.repository.refs("refs/tags")
        return list(found.values())

    def compact(self) -> None:
        """Packs loose objects and refs; safe while others write, and worth it after thousands."""
        if self.repository.exists:
            self.repository.packing.pack()

    # --- writing ------------------------------------------------------------------------------

    def add(
        self,
        *,
        solution: Solution,
        evaluation: Evaluation,
        definition: Definition,
        workloads: Sequence[Workload] = (),
        hypothesis: str,
        lesson: str | None = None,
        parents: Sequence[str] | None = None,
        tags: Sequence[str] = (),
        profiles: Mapping[str, bytes] | None = None,
        plan: str = "",
        made_by: MadeBy = NOBODY,
    ) -> StoredCandidate:
        """Archives one trial.

        Args:
            workloads: of the operator, in the traces that are written.
            parents: ids (or unique prefixes) of what it was derived from; two for a crossover.
                Where it is archived again, none say that it is a root, and None says nothing.
            tags: techniques that were tried, in a few words each.
            profiles: file name to content.

        Raises:
            ArchiveError: when the evaluation is not of this solution and definition, or not over.
            RequestError: when a parent is unknown.
        """
        refuse_mismatch(solution, evaluation, definition)
        verification = self.keys.verify_record(evaluation)
        known = self.synced.current().nodes("evaluation_id = ?", [evaluation.evaluation_id])
        ancestors = self.nodes(*dict.fromkeys(self.resolve(parent) for parent in parents or ()))
        ids = [parent.candidate_id for parent in ancestors]
        # One that does not count must not keep one that does out of the archive.
        if before := [node for node in known if node.verified == verification.counts]:
            words = AmendmentWords(hypothesis=hypothesis, lesson=lesson, tags=list(tags) or None)
            said = {} if parents is None else {"parents": ids}
            return self._archived_again(before[0], words.model_copy(update=said))
        manifest = CandidateManifest.describe(
            solution,
            evaluation,
            definition,
            hypothesis=hypothesis,
            lesson=lesson or "",
            tags=tags,
            workload_count=len(workloads),
            plan=plan,
            made_by=made_by,
        )
        facts = facts_of(evaluation, verification, len(workloads), ancestors)
        traces = to_traces(evaluation, definition, workloads)
        sources = {source.path: source.content for source in solution.sources}
        files = tree_files(manifest, facts, evaluation, sources, traces, profiles or {})
        message = commit_message(manifest, facts, evaluation, ids)
        commit = self._write_commit(files, message, facts.at, ancestors)
        ref = f"{CANDIDATES}/{form.ref_part(manifest.definition)}/{commit[:12]}"
        node = manifest.node(facts, ref, commit, ids, profiles or {})
        already = not self._publish(node)
        self.synced.index.add([node])
        return StoredCandidate(node, already)

    def _archived_again(self, node: Node, words: AmendmentWords) -> StoredCandidate:
        """A candidate whose evaluation was archived before, amended where other words are given."""
        record = self.read(node)
        said = {
            "hypothesis": record.candidate.hypothesis,
            "lesson": record.candidate.lesson,
            "tags": record.candidate.technique,
            "parents": list(record.parents),
        }
        given = words.printable().model_dump(exclude_none=True, exclude={"number"})
        other = {
            name: value
            for name, value in given.items()
            if value != said[name] and (value or name == "parents")
        }
        if not other:
            return StoredCandidate(node, already=True)
        amended = self.amend(node.candidate_id, AmendmentWords.model_validate(other))
        return StoredCandidate(amended, already=True, amended=True)

    def amend(self, candidate_id: str, words: AmendmentWords) -> Node:
        """Adds other words, tags or parents, or a note, to a candidate; its commit stays as it is.

        Raises:
            RequestError: when nothing is said, or a parent is unknown or descends from it.
        """
        node = self.node(candidate_id)
        if words.empty:
            raise RequestError(
                "The amendment says nothing", remedy="Give a note, lesson, tags or parents."
            )
        if words.parents is not None:
            parents = list(dict.fromkeys(self.resolve(parent) for parent in words.parents))
            self._refuse_descendants(node, parents)
            words = words.model_copy(update={"parents": parents})
        write_amendment(self.repository, self.keys, node.commit, words)
        self.synced.synchronise()
        return self.node(node.candidate_id)

    def _refuse_descendants(self, node: Node, parents: Sequence[str]) -> None:
        rows = self.synced.current().rows(
            "WITH RECURSIVE down(id) AS (VALUES (?) UNION"
            " SELECT e.child FROM edges e JOIN down ON e.parent = down.id) SELECT id FROM down",
            [node.candidate_id],
        )
        if below := {row[0] for row in rows} & set(parents):
            raise RequestError(
                f"{', '.join(sorted(below))} descends from {node.candidate_id}, or is the same",
                where="parents",
                remedy="Name candidates that it was derived from.",
            )

    def amendments(self, candidate_id: str) -> list[Amendment]:
        """All that was said of a candidate after it was archived, oldest first."""
        refs = self.repository.refs(AMENDMENTS)
        return read_amendments(self.repository, self.keys, self.resolve(candidate_id), refs)

    def _write_commit(
        self, files: Mapping[str, bytes], message: str, at: int, parents: Sequence[Node]
    ) -> str:
        """Stores the objects and returns the commit; no ref names it yet."""
        self.repository.create()
        tree = self.repository.write_tree(files)
        at = max([at, *(parent.at for parent in parents)])
        commits = [parent.commit for parent in parents]
        sign = partial(self.keys.sign, CANDIDATE)
        return self.repository.write_commit(tree, commits, message, at, sign)

    def _publish(self, node: Node) -> bool:
        """Creates the ref; False when this very commit was already there."""
        try:
            self.repository.update_refs([RefUpdate(node.ref, node.commit)])
        except RefConflict:
            if self.repository.resolve(node.ref) != node.commit:
                raise
            return False
        return True

    # --- reading ------------------------------------------------------------------------------

    def resolve(self, name: str) -> str:
        """The full candidate id for an id, a unique prefix, a commit id or that of its evaluation.

        Raises:
            RequestError: when none or several match.
        """
        prefix = name.strip().lower()[:12]
        index = self.synced.current()
        if re.fullmatch(r"[0-9a-f]{4,12}", prefix):
            found = index.with_prefix(prefix)
            if len(found) == 1:
                return found[0]
            if found:
                raise RequestError(
                    f"Candidate {name!r} could be any of {', '.join(found)}",
                    remedy="Give more digits.",
                )
        elif name.strip().startswith(TRIAL_NAME):
            return self._candidate_of(name.strip())
        known = [
            row[0] for row in index.rows("SELECT id FROM candidates ORDER BY at DESC LIMIT 50")
        ]
        raise unknown_name(
            "candidate", name, known, remedy="search_archive lists candidates with their ids."
        )

    def _candidate_of(self, evaluation_id: str) -> str:
        """The candidate that an evaluation was archived as, one that counts if there is one."""
        index = self.synced.current()
        known = index.nodes("evaluation_id = ?", [evaluation_id])
        if not known:
            raise RequestError(
                f"Unknown candidate {evaluation_id!r}: that is an evaluation, and what it judged "
                "was not archived here",
                remedy="archive_candidate keeps it and gives a candidate's id.",
            )
        return min(known, key=lambda node: not node.verified).candidate_id

    def get(self, candidate_id: str) -> CandidateRecord:
        """Reads one candidate from git by its id, a unique prefix, or a commit id."""
        return self.read(self.node(candidate_id))

    def read(self, node: Node) -> CandidateRecord:
        """Reads a candidate's commit from git, and what was said of it later.

        Raises:
            ArchiveError: when the commit is not one of the harness's.
        """
        record = read_record(self.repository, node.ref, node.commit)
        first = f"{AMENDMENTS}/{node.candidate_id}-"
        refs = self.synced.index.amendments(first, f"{first}g")
        held = self.repository.held_by(refs) if refs else {}
        return amended_record(self.repository, self.keys, record, held)

    def read_profile(self, candidate_id: str, name: str) -> bytes:
        """The content of one file under profile/."""
        node = self.node(candidate_id)
        return self.repository.read(f"{node.commit}:{form.PROFILE}/{name}")[1]

    def node(self, candidate_id: str) -> Node:
        """The line of one candidate, from the index."""
        return self.nodes(self.resolve(candidate_id))[0]

    def nodes(self, *ids: str) -> list[Node]:
        """The lines of several candidates by full id, in the order asked for."""
        found = self.synced.current().by_id(ids) if ids else {}
        return [found[name] for name in ids if name in found]

    def iter(self, definition: str | None = None) -> Iterator[Node]:
        """All candidates, oldest first, as lines of the index."""
        where, values = ("definition = ?", [definition]) if definition else ("1", [])
        yield from self.synced.current().nodes(where, values, "ORDER BY at, seq")

    def history(self, definition: str, limit: int = 60) -> list[Node]:
        """The newest candidates of one operator, oldest first."""
        return self.synced.current().newest(definition, limit)

    def definitions(self) -> list[str]:
        """Every definition that has a candidate."""
        rows = self.synced.current().rows("SELECT DISTINCT definition FROM candidates ORDER BY 1")
        return [row[0] for row in rows]

    def children(self, candidate_id: str) -> list[Node]:
        """Candidates derived from this one, oldest first."""
        return self.nodes(*self.synced.current().children(self.resolve(candidate_id)))

    def parents(self, candidate_id: str) -> list[Node]:
        """Candidates that this one was derived from."""
        return self.nodes(*self.node(candidate_id).parents)

    def require_best(self, definition: str, gpu: str | None = None) -> Node:
        """The best candidate, as `best` finds it.

        Raises:
            RequestError: when nothing was timed there, naming the devices where something was.
        """
        found = self.best(definition, gpu)
        if found is not None:
            return found
        rows = self.synced.current().rows(
            "SELECT DISTINCT hardware FROM candidates WHERE definition = ?"
            " AND latency_us IS NOT NULL ORDER BY hardware",
            [definition],
        )
        raise RequestError(
            f"No candidate of {definition} was timed" + (f" on {gpu}" if gpu else ""),
            remedy=f"Some were on: {', '.join(str(row[0]) for row in rows)}."
            if rows
            else "Evaluate one on a GPU with scope 'sample' or 'full', then archive_candidate.",
        )

    def best(self, definition: str, gpu: str | None = None) -> Node | None:
        """The promoted candidate, else the one of least (estimated) latency over all workloads.

        Of those not promoted a sealed latency comes before every claimed one.
        None when nothing was timed; without `gpu`, of the device timed most recently.
        """
        index = self.synced.current()
        if gpu is None:
            rows = index.rows(
                "SELECT hardware FROM candidates WHERE definition = ? AND latency_us IS NOT NULL"
                " ORDER BY at DESC LIMIT 1",
                [definition],
            )
            if not rows:
                return None
            gpu = str(rows[0][0])
        promoted = self.promoted(definition, gpu)
        if promoted is not None:
            return next(iter(self.nodes(promoted[:12])), None)
        where = "definition = ? AND hardware = ? AND status = 'PASSED' AND latency_us IS NOT NULL"
        full = f"scope IN ('{Scope.FULL}', '{Scope.OFFICIAL}')"
        order = f"ORDER BY {SEALED_FIRST}, NOT {full}, latency_us LIMIT 1"
        found = index.nodes(where, [definition, gpu], order)
        return found[0] if found else None

    def promoted(self, definition: str, gpu: str) -> str | None:
        """The commit that was promoted here last and not rolled back; None without one."""
        found = promotion_events(self.repository, self.keys, definition, gpu)
        timed = (event for event in found if event.kind != "verified")
        stack = promotion_stacks(timed).get((definition, gpu))
        return stack[-1].commit if stack else None

    def diff(self, a: str, b: str) -> str:
        """The kernel change from one candidate or trial to another, as a diff of their sources."""
        trials = [self.trials.find(name) for name in (a, b)]
        first, second = (
            trial[1] if trial else self.node(name).commit
            for name, trial in zip((a, b), trials, strict=True)
        )
        options = (
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "-M",
            first,
            second,
        )
        return printable(self.repository.run("diff", *options, "--", form.SOURCES))


def best_branch(definition: str, gpu: str) -> str:
    """The branch that a promotion moves."""
    return f"refs/heads/best/{form.ref_part(definition)}/{form.ref_part(gpu)}"
