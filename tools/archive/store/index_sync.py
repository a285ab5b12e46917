"""Reads commits into records and keeps the derived index up to git's refs.

A candidate that another process archived, or a fetch brought, is found by comparing ref names with
the index; only what is missing is read. Who signed a candidate decides what an index takes of it,
so there is one for each set of keys that counts: servers that trust different keys share an archive
and no index. Knows nothing of how a candidate is written.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from ...errors import ArchiveError
from ...schema.evaluation import Evaluation
from ...schema.source_tree import MAX_BYTES
from ...signing.keyring import Keyring, Trust, Verification
from ...signing.signature import CANDIDATE
from ...text import one_line
from ..git.objects import GitObject, parse_object
from ..git.repository import Repository
from . import manifest as form
from .amendments import AMENDMENTS, amended, amended_candidate, amended_parents, read_amendments
from .entry import Node, facts_of
from .index import Index
from .manifest import CandidateManifest, CandidateRecord

_log = logging.getLogger(__name__)

CANDIDATES = "refs/candidates"
QUARANTINE = "refs/quarantine"
"""Holds what was fetched, below the name it was fetched under: candidates that no trusted key
signed, and all promotions. Nothing in it decides anything here."""
MOST_RECORD_BYTES = 16 << 20
_BATCH = 1_000
_MOST_INDEXES = 4
"""What each change of the trusted keys leaves behind is removed beyond this number."""
STAMP_LAG_S = 0.1
"""A folder that changed later than this may change again without its time stamp showing it; so
what another process does is seen at the latest this much later."""


class SyncedIndex:
    """The index of what counts here, brought up to git's refs before each question.

    Args:
        folder: where indexes lie, one for each set of trusted keys that was used here.
    """

    def __init__(self, repository: Repository, folder: Path, keys: Keyring) -> None:
        self.repository = repository
        self._folder = folder
        self._keys = keys
        self._synchronising = threading.Lock()
        self._listed = ("", 0.0)
        self._index = Index(folder / "index.sqlite")

    @property
    def index(self) -> Index:
        """The index as the keys that are trusted now would have it, however old."""
        path = self._folder / f"index-{self._keys.fingerprint}.sqlite"
        if path != self._index.path:
            self._index.close()
            self._index = Index(path)
            if not path.exists():
                self._remove_oldest()
        return self._index

    def close(self) -> None:
        """Closes the connections to the index."""
        self._index.close()

    def current(self) -> Index:
        """The index, after adding what another process or a fetch brought to git.

        Refs listed less than `STAMP_LAG_S` ago are not listed again.
        """
        index = self.index
        if self.repository.exists:
            fingerprint = self._fingerprint()
            known = index.recall("fingerprint")
            just_listed = (
                known == f"unsettled {fingerprint}"
                and self._listed[0] == fingerprint
                and time.monotonic() - self._listed[1] < STAMP_LAG_S
            )
            if fingerprint != known and not just_listed:
                self._synchronise(index)
        return index

    def synchronise(self) -> int:
        """Brings the index up to git's refs; returns how many candidates were added."""
        return self._synchronise(self.index)

    def _synchronise(self, index: Index) -> int:
        with self._synchronising:
            at, fingerprint = time.time(), self._fingerprint()
            missing = self._missing_alone(index)
            if missing is None:
                packed, known = self.repository.packed_stamp(), index.refs()
                present, missing = self._candidate_refs(known)
                if gone := known - present:
                    index.remove(gone)
                index.remember("packed", packed)
            if missing:
                self._read_missing(index, missing, self.repository.refs(AMENDMENTS))
            self._read_amended(index)
            newest = max((int(n) for n in re.findall(r"(\d+)\.\d+\.\d+", fingerprint)), default=0)
            stable = at - newest / 1e9 > STAMP_LAG_S
            index.remember("fingerprint", fingerprint if stable else f"unsettled {fingerprint}")
            self._listed = (fingerprint, time.monotonic())
            if index is not self.index:  # keys changed meanwhile: some of it was read by others
                index.delete()
            return len(missing)

    def rebuild(self) -> int:
        """Throws the index away and reads every commit again; returns how many there are."""
        self.index.delete()
        return self.synchronise() if self.repository.exists else 0

    def _remove_oldest(self) -> None:
        """Leaves room for one more index; whoever still reads one that goes makes it again."""
        found: list[tuple[float, Path]] = []
        for path in self._folder.glob("index*.sqlite"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime, path))
        for _, path in sorted(found, reverse=True)[_MOST_INDEXES - 1 :]:
            Index(path).delete()

    def _fingerprint(self) -> str:
        return self.repository.ref_fingerprint(CANDIDATES, QUARANTINE, AMENDMENTS)

    def _read_amended(self, index: Index) -> None:
        """Reads candidates again whose rows were made without an amendment.

        Asked again after each time, for another process may have written a row meanwhile that knew
        less; what cannot be read is tried once.
        """
        tried: Mapping[str, str] = {}
        while (found := self.repository.refs(AMENDMENTS)) != tried:
            differing = index.amendments() ^ set(found)
            changed = index.by_id({amended_candidate(ref) for ref in differing} - {""})
            if not changed:
                return
            tried = found
            stale = {node.ref: node.commit for node in changed.values()}
            self._read_missing(index, stale, found, replace=True)

    def _missing_alone(self, index: Index) -> dict[str, str] | None:
        """What the index lacks where candidates were only added; None where all are compared.

        Packed ones were compared before, so that only those in files of their own are looked up.
        """
        packed = self.repository.packed_names(CANDIDATES)
        unpacked = index.recall("packed") != self.repository.packed_stamp()
        if unpacked or self.repository.ref_names(QUARANTINE):
            return None
        loose = set(self.repository.loose_names(CANDIDATES))
        missing = loose - index.refs(sorted(loose))
        if index.count() + len(missing) != len(packed) + len(loose - packed):
            return None
        return self.repository.held_by(missing)

    def _candidate_refs(self, known: Set[str]) -> tuple[Set[str], dict[str, str]]:
        """The names of all candidates' refs, and what those that are not known hold.

        One in quarantine that is ours, too, is left out. Where there is none, only the names are
        listed: each ref that was never packed is a file of its own.
        """
        if not self.repository.ref_names(QUARANTINE):
            present = self.repository.ref_names(CANDIDATES)
            return present, self.repository.held_by(present - known)
        refs = self.repository.refs(CANDIDATES)
        own = set(refs.values())
        for ref, oid in self.repository.refs(QUARANTINE).items():
            if ref.split("/")[3:4] == ["candidates"] and oid not in own:
                refs[ref] = oid
                own.add(oid)
        return set(refs), {ref: oid for ref, oid in refs.items() if ref not in known}

    def _read_missing(
        self,
        index: Index,
        missing: Mapping[str, str],
        amendments: Mapping[str, str],
        *,
        replace: bool = False,
    ) -> None:
        """Reads candidates that the index lacks, or has as they were, parents first."""
        batch: dict[str, Node] = {}
        of_each: dict[str, dict[str, str]] = {}
        for ref, oid in amendments.items():
            of_each.setdefault(amended_candidate(ref), {})[ref] = oid
        for ref, commit, found in self._parents_first(missing, of_each):
            try:
                said = of_each.get(commit[:12], {})
                node = self._read_node(index, ref, commit, found, batch, said)
            except Exception as error:  # whoever wrote it: it hides no other candidate
                self._leave_out(ref, error)
                continue
            batch[node.candidate_id] = node
            if len(batch) >= _BATCH:
                index.add(batch.values(), of_each, replace=replace)
                batch = {}
        index.add(batch.values(), of_each, replace=replace)

    def _parents_first(
        self, missing: Mapping[str, str], amendments: Mapping[str, Mapping[str, str]]
    ) -> Iterator[tuple[str, str, GitObject]]:
        """Ref, id and commit of each that can be read, in an order in which parents come first.

        Those that hold now: an amended parent's time decides the outcome, too.
        """
        read: dict[str, tuple[str, GitObject]] = {}
        for ref, oid in missing.items():
            try:
                read[oid] = ref, read_commit(self.repository, oid)
            except Exception as error:
                self._leave_out(ref, error)
        ids = {oid[:12]: oid for oid in read}
        archived: dict[str, list[str]] = {}
        amended: dict[str, list[str]] = {}
        for oid, (_, commit) in read.items():
            names = tuple(parent[:12] for parent in commit.ids("parent"))
            archived[oid] = [ids[name] for name in names if name in ids]
            if said := amendments.get(oid[:12]):
                found = read_amendments(self.repository, self._keys, oid[:12], said)
                names = amended_parents(names, found)
            amended[oid] = [ids[name] for name in names if name in ids]
        try:
            order = list(TopologicalSorter(amended).static_order())
        except CycleError:  # two machines' amendments; commits have no circle
            order = list(TopologicalSorter(archived).static_order())
        for oid in order:
            ref, commit = read[oid]
            yield ref, oid, commit

    def _leave_out(self, ref: str, error: Exception) -> None:
        words = one_line(f"{type(error).__name__}: {error}", 400)
        _log.warning("Left out of the index: %s: %s", one_line(ref), words)

    def _read_node(
        self,
        index: Index,
        ref: str,
        commit: str,
        found: GitObject,
        batch: Mapping[str, Node],
        amendments: Mapping[str, str],
    ) -> Node:
        record = read_record(self.repository, ref, commit, found)
        verification = verify_candidate(self._keys, record, found)
        record = amended_record(self.repository, self._keys, record, amendments)
        ids = record.parents
        elsewhere = index.by_id(i for i in ids if i not in batch)
        known = elsewhere | {i: batch[i] for i in ids if i in batch}
        profiles = {
            name: self.repository.read(f"{commit}:{form.PROFILE}/{name}", form.MOST_PROFILE_BYTES)[
                1
            ]
            for name in record.profiles
            if name.endswith(".json")
        }
        manifest, above = record.candidate, [known[i] for i in ids if i in known]
        facts = facts_of(record.evaluation, verification, manifest.workload_count, above)
        return manifest.node(facts, ref, commit, ids, profiles, record.notes)


def read_commit(repository: Repository, oid: str) -> GitObject:
    """Reads a commit.

    Raises:
        ArchiveError: when there is no such object or it is no commit.
    """
    kind, content = repository.read(oid, form.MOST_MESSAGE_BYTES)
    if kind != "commit":
        raise ArchiveError(
            f"{oid[:12]} is a {kind}, no commit", remedy="Delete its ref with git update-ref -d."
        )
    return parse_object(content)


def read_record(
    repository: Repository, ref: str, oid: str, commit: GitObject | None = None
) -> CandidateRecord:
    """Reads one candidate's tree.

    Args:
        commit: what was read of it already.

    Raises:
        ArchiveError: when the commit is not one of the harness's, or its ref is not named by it.
    """
    record = read_judged(repository, ref, oid, commit or read_commit(repository, oid))
    if not ref.endswith(f"/{form.ref_part(record.candidate.definition)}/{oid[:12]}"):
        raise _not_ours(ref, f"The ref is not named by its definition and commit, {oid[:12]}")
    return record


def read_judged(repository: Repository, ref: str, oid: str, commit: GitObject) -> CandidateRecord:
    """Reads the tree of a commit that holds sources with their record, whatever its ref.

    Raises:
        ArchiveError: when the commit is not one of the harness's.
    """
    paths = repository.list_tree(oid)
    missing = {form.MANIFEST, form.EVALUATION} - set(paths)
    if missing:
        raise _not_ours(ref, f"The commit {oid[:12]} lacks {', '.join(sorted(missing))}")
    own, profile = f"{form.SOURCES}/", f"{form.PROFILE}/"
    sources: dict[str, str] = {}
    left = MAX_BYTES
    for path, blob in paths.items():
        if path.startswith(own):
            content = repository.read(blob, left)[1]
            left -= len(content)
            sources[path.removeprefix(own)] = content.decode()
    said = repository.read(paths[form.MANIFEST], form.MOST_MESSAGE_BYTES)[1].decode()
    content = repository.read(paths[form.EVALUATION], MOST_RECORD_BYTES)[1]
    manifest = CandidateManifest.from_toml(said)
    return CandidateRecord(
        candidate_id=oid[:12],
        commit=oid,
        ref=ref,
        parents=tuple(parent[:12] for parent in commit.ids("parent")),
        candidate=manifest,
        evaluation=_read_evaluation(content, ref),
        sources=sources,
        profiles=tuple(p.removeprefix(profile) for p in paths if p.startswith(profile)),
    )


def amended_record(
    repository: Repository, keys: Keyring, record: CandidateRecord, amendments: Mapping[str, str]
) -> CandidateRecord:
    """A candidate with what was said of it later, by refs of amendments with their ids."""
    found = read_amendments(repository, keys, record.candidate_id, amendments)
    return replace(
        record,
        candidate=amended(record.candidate, found),
        parents=amended_parents(record.parents, found),
        notes=tuple(amendment.note for amendment in found if amendment.note),
    )


def verify_candidate(
    keys: Keyring, record: CandidateRecord, commit: GitObject, purpose: str = CANDIDATE
) -> Verification:
    """What a candidate counts for here: by who archived it, who judged it, and what was judged."""
    archived = keys.verify_object(record.commit, commit.signature, purpose, commit.signed)
    if archived.trust is Trust.BEFORE_SIGNING:
        return archived
    if not archived.counts:
        return Verification(archived.trust, f"{archived.words} (the commit)")
    judged = keys.verify_record(record.evaluation)
    if not judged.counts:
        return Verification(judged.trust, f"{judged.words} (its evaluation)")
    try:
        content_hash = record.solution().content_hash()
    except ArchiveError as error:
        return Verification(Trust.UNVERIFIED, error.what)
    evaluation, manifest = record.evaluation, record.candidate
    same = (
        evaluation.content_hash == manifest.content_hash == content_hash
        and evaluation.evaluation_id == manifest.evaluation_id
        and evaluation.definition == manifest.definition
    )
    if not same:
        return Verification(Trust.UNVERIFIED, "its evaluation is of other sources")
    return judged if archived.trust is Trust.OWN else archived


def _not_ours(ref: str, words: str) -> ArchiveError:
    return ArchiveError(
        words,
        where=ref,
        remedy="It was not written by the harness; delete its ref with git update-ref -d.",
    )


def _read_evaluation(content: bytes, ref: str) -> Evaluation:
    try:
        return Evaluation.model_validate_json(content)
    except ValueError as error:
        words = " ".join(str(error).split())[:200]
        raise ArchiveError(
            f"The record of a candidate cannot be read: {words}",
            where=ref,
            remedy="It may be of a newer harness; plain git still shows it.",
        ) from error
