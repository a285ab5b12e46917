"""Commits of plans: the record, and the scaffold's sources with the regions that may change.

A plan is written once and never changes; its commit is dated when it was told, so that a forecast
made after the fact shows. What no key that is trusted here signed is no plan.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ....errors import ArchiveError
from ....schema.search.plan import SearchPlan
from ....schema.source_tree import MAX_BYTES
from ....signing.keyring import Keyring
from ....signing.signature import PLAN
from ....text import one_line
from ...git.repository import RefConflict, RefUpdate, Repository
from ..commit.message import authorship
from ..index_sync import read_commit
from ..manifest import SOURCES, ref_part

if TYPE_CHECKING:
    from ....schema.flashinfer_trace import Solution

PLANS = "refs/plans"
"""Holds refs that are called DEFINITION/PLAN, the plan by twelve hexadecimal digits."""
RECORD = "plan.json"
MOST_PLAN_BYTES = 1 << 18
_REF = re.compile(rf"{PLANS}/[^/]+/(?P<plan>[0-9a-f]{{12}})")


@dataclass(frozen=True)
class StoredPlan:
    """A plan in the archive.

    Attributes:
        plan_id: first twelve hexadecimal digits of its commit.
        at: when it was told, in seconds since the epoch.
        sources: of the scaffold, path to text; empty when it was listed and not read.
    """

    plan_id: str
    commit: str
    ref: str
    at: int
    record: SearchPlan
    sources: Mapping[str, str] = field(default_factory=dict)

    def solution(self) -> Solution:
        """The scaffold as a FlashInfer-Trace Solution.

        Raises:
            ArchiveError: when it is none.
        """
        from ....schema.flashinfer_trace import Solution

        values = {
            "name": f"plan-{self.plan_id}",
            "definition": self.record.definition,
            "author": self.record.made_by.agent or "archive",
            "spec": self.record.spec,
            "sources": [{"path": p, "content": text} for p, text in self.sources.items()],
        }
        try:
            return Solution.model_validate(values)
        except ValidationError as error:
            raise ArchiveError(
                f"The scaffold of a plan is no solution: {one_line(str(error), 300)}",
                where=self.ref,
                remedy="It was not written by the harness; open a workspace without the plan.",
            ) from error


def write_plan(
    repository: Repository,
    keys: Keyring,
    record: SearchPlan,
    sources: Mapping[str, str],
    parents: Sequence[str] = (),
) -> StoredPlan:
    """Stores a plan, dated now, and returns it.

    Args:
        parents: commits of the candidates that the scaffold was begun from.

    Raises:
        ArchiveError: when what this machine signs does not count here.
    """
    repository.create()
    files = {RECORD: f"{record.model_dump_json(indent=1)}\n".encode()}
    files |= {f"{SOURCES}/{path}": text.encode() for path, text in sources.items()}
    tree = repository.write_tree(files)
    sign = partial(keys.sign, PLAN)
    commit = repository.write_commit(tree, parents, _message(record), int(time.time()), sign)
    ref = f"{PLANS}/{ref_part(record.definition)}/{commit[:12]}"
    written = read_plan(repository, keys, ref, commit)
    if written is None:
        raise ArchiveError(
            "What this machine signs does not count here, so the plan would hold nothing",
            where=record.definition,
            remedy="See whether its key can be read: kernel-harness trust.",
        )
    try:
        repository.update_refs([RefUpdate(ref, commit)])
    except RefConflict:  # the very same plan was told in the same second
        if repository.resolve(ref) != commit:
            raise
    return written


def _message(record: SearchPlan) -> str:
    lines = [
        ("Definition", record.definition),
        ("Plan-Parent", record.parent),
        ("Expected-Gain", f"{record.expected_gain:.4g}"),
        ("Confidence", f"{record.confidence:.4g}"),
        *(("Regime", name) for name in record.regimes),
        *(("Technique", tag) for tag in record.technique),
        *authorship(record.made_by),
    ]
    block = "\n".join(f"{key}: {one_line(value)}" for key, value in lines if value)
    return f"Plan: {one_line(record.hypothesis, 100)}\n\n{block}\n"


def read_plan(repository: Repository, keys: Keyring, ref: str, oid: str) -> StoredPlan | None:
    """Reads one plan with its sources; None when it does not count here or is no plan."""
    try:
        commit = read_commit(repository, oid)
        if not keys.verify(commit.signature, PLAN, commit.signed).counts:
            return None
        paths = repository.list_tree(oid)
        record = SearchPlan.model_validate_json(repository.read(paths[RECORD], MOST_PLAN_BYTES)[1])
        if not ref.endswith(f"/{ref_part(record.definition)}/{oid[:12]}"):
            return None
        sources: dict[str, str] = {}
        left = MAX_BYTES
        for path, blob in paths.items():
            if path.startswith(f"{SOURCES}/"):
                content = repository.read(blob, left)[1]
                left -= len(content)
                sources[path.removeprefix(f"{SOURCES}/")] = content.decode()
    except (ArchiveError, ValueError, KeyError, RecursionError):
        return None
    return StoredPlan(oid[:12], oid, ref, commit.committed_at, record, sources)


def is_plan_ref(ref: str) -> bool:
    """Whether a ref is named as those of plans are."""
    return _REF.fullmatch(ref) is not None
