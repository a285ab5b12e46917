"""Reads commits into records and keeps the derived index up to git's refs.

A candidate that another process archived, or a fetch brought, is found by comparing ref names with
the index; only what is missing is read. Knows nothing of how a candidate is written.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence

from ...errors import ArchiveError
from ...schema.evaluation import Evaluation
from ...text import one_line
from . import manifest as form
from .entry import Node, facts_of
from .git_repository import Repository
from .index import Index
from .manifest import CandidateManifest, CandidateRecord

_log = logging.getLogger(__name__)

CANDIDATES = "refs/candidates"
_BATCH = 1_000
_STAMP_LAG_S = 0.1
"""A folder that changed later than this may change again without its time stamp showing it; so
what another process does is seen at the latest this much later."""


class SyncedIndex:
    """The index, brought up to git's refs before each question."""

    def __init__(self, repository: Repository, index: Index) -> None:
        self.repository = repository
        self.index = index
        self._synchronising = threading.Lock()
        self._listed = ("", 0.0)

    def current(self) -> Index:
        """The index, after adding what another process or a fetch brought to git.

        Refs listed less than `_STAMP_LAG_S` ago are not listed again.
        """
        if self.repository.exists:
            fingerprint = self.repository.ref_fingerprint(CANDIDATES)
            known = self.index.recall("fingerprint")
            just_listed = (
                known == f"unsettled {fingerprint}"
                and self._listed[0] == fingerprint
                and time.monotonic() - self._listed[1] < _STAMP_LAG_S
            )
            if fingerprint != known and not just_listed:
                self.synchronise()
        return self.index

    def synchronise(self) -> int:
        """Brings the index up to git's refs; returns how many candidates were added."""
        with self._synchronising:
            at, fingerprint = time.time(), self.repository.ref_fingerprint(CANDIDATES)
            refs, known = self.repository.ref_names(CANDIDATES), self.index.refs()
            if known - refs:
                self.index.remove(known - refs)
            missing = refs - known
            if missing:
                self._read_missing(missing)
            newest = max((int(n) for n in re.findall(r"(\d+)\.\d+\.\d+", fingerprint)), default=0)
            stable = at - newest / 1e9 > _STAMP_LAG_S
            self.index.remember(
                "fingerprint", fingerprint if stable else f"unsettled {fingerprint}"
            )
            self._listed = (fingerprint, time.monotonic())
            return len(missing)

    def rebuild(self) -> int:
        """Throws the index away and reads every commit again; returns how many there are."""
        self.index.delete()
        return self.synchronise() if self.repository.exists else 0

    def _read_missing(self, missing: set[str]) -> None:
        """Reads candidates that the index lacks, parents first."""
        everywhere = self.repository.refs(CANDIDATES)
        unread = {oid: ref for ref, oid in everywhere.items() if ref in missing}
        if not unread:
            return
        order = ("--topo-order", "--reverse", "--parents", "--stdin")
        stdin = ("\n".join(unread) + "\n").encode()
        walked = self.repository.run("rev-list", *order, stdin=stdin)
        batch: dict[str, Node] = {}
        for line in walked.splitlines():
            commit, *parents = line.split(" ")
            if commit in unread:
                try:
                    node = self._read_node(unread[commit], commit, parents, batch)
                except Exception as error:  # whoever wrote it: it hides no other candidate
                    words = one_line(f"{type(error).__name__}: {error}", 400)
                    _log.warning("Left out of the index: %s: %s", one_line(unread[commit]), words)
                    continue
                batch[node.candidate_id] = node
            if len(batch) >= _BATCH:
                self.index.add(batch.values())
                batch = {}
        self.index.add(batch.values())

    def _read_node(
        self, ref: str, commit: str, parents: Sequence[str], batch: Mapping[str, Node]
    ) -> Node:
        ids = [parent[:12] for parent in parents]
        if ref.rsplit("/", 1)[-1] != commit[:12]:
            raise ArchiveError(
                "A candidate's ref is not named by its commit",
                where=ref,
                remedy="It was not written by the harness; delete it with git update-ref -d.",
            )
        record = read_record(self.repository, ref, commit, ids)
        elsewhere = self.index.by_id(i for i in ids if i not in batch)
        known = elsewhere | {i: batch[i] for i in ids if i in batch}
        profiles = {
            name: self.repository.read(f"{commit}:{form.PROFILE}/{name}")[1]
            for name in record.profiles
            if name.endswith(".json")
        }
        manifest, above = record.candidate, [known[i] for i in ids if i in known]
        facts = facts_of(record.evaluation, manifest.workload_count, above)
        return manifest.node(facts, ref, commit, ids, profiles)


def read_record(
    repository: Repository, ref: str, commit: str, parents: Sequence[str]
) -> CandidateRecord:
    """Reads one candidate's tree.

    Raises:
        ArchiveError: when the commit is not one of the harness's.
    """
    paths = repository.list_tree(commit)
    missing = {form.MANIFEST, form.EVALUATION} - set(paths)
    if missing:
        raise ArchiveError(
            f"The commit {commit[:12]} lacks {', '.join(sorted(missing))}",
            where=ref,
            remedy="It was not written by the harness; delete its ref with git update-ref -d.",
        )
    own, profile = f"{form.SOURCES}/", f"{form.PROFILE}/"
    sources = {
        path.removeprefix(own): repository.read(oid)[1].decode()
        for path, oid in paths.items()
        if path.startswith(own)
    }
    manifest = repository.read(paths[form.MANIFEST])[1].decode()
    evaluation = _read_evaluation(repository.read(paths[form.EVALUATION])[1], ref)
    return CandidateRecord(
        candidate_id=commit[:12],
        commit=commit,
        ref=ref,
        parents=tuple(parents),
        candidate=CandidateManifest.from_toml(manifest),
        evaluation=evaluation,
        sources=sources,
        profiles=tuple(p.removeprefix(profile) for p in paths if p.startswith(profile)),
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
