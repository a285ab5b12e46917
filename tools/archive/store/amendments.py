"""What was said of a candidate after it was archived: other words, tags or parents, and notes.

Each is a signed tag object under a ref of its own, which is written once and never moved: nothing
is overwritten, two writers never meet, and the candidate's commit stays as it was. The newest that
says a thing holds. What no key that is trusted here signed says nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from pydantic import Field, ValidationError

from ...errors import ArchiveError
from ...schema.record_model import RecordModel
from ...signing.keyring import Keyring
from ...signing.signature import AMENDMENT
from ...text import one_line
from ..git.objects import parse_object
from ..git.repository import RefUpdate, Repository
from .commit.prose import prose, technique_tags
from .manifest import CandidateManifest

AMENDMENTS = "refs/amendments"
"""Holds refs that are called CANDIDATE-TAG, both by twelve hexadecimal digits."""
MOST_AMENDMENT_BYTES = 1 << 18
_REF = re.compile(r"(?P<candidate>[0-9a-f]{12})-[0-9a-f]{12}")
_CANDIDATE_ID = re.compile(r"[0-9a-f]{12}")
_TAGGER = re.compile(r"(?P<who>.*) [0-9]{1,12} [+-][0-9]{4}")


class AmendmentWords(RecordModel):
    """What one amendment says; None leaves a thing as it was."""

    hypothesis: str | None = None
    lesson: str | None = None
    tags: list[str] | None = None
    parents: list[str] | None = Field(default=None, description="Candidate ids, in full.")
    note: str | None = None
    number: int = Field(default=0, ge=0, le=1 << 20, description="One more than those it follows.")

    @property
    def empty(self) -> bool:
        """Whether it says nothing at all."""
        return not self.model_dump(exclude_none=True, exclude={"number"})

    def printable(self) -> AmendmentWords:
        """The same as it is stored: printable and bounded as a manifest's words are."""
        texts = {name: getattr(self, name) for name in ("hypothesis", "lesson", "note")}
        kept = {name: prose(text) for name, text in texts.items() if text is not None}
        tags = None if self.tags is None else technique_tags(self.tags)
        return self.model_copy(update={"tags": tags, **kept})


@dataclass(frozen=True)
class Amendment:
    """One amendment as it is stored.

    Attributes:
        author: name and address, as git has them.
    """

    words: AmendmentWords
    author: str
    at: int
    oid: str

    @property
    def note(self) -> str:
        """Its note in a line, with its author; empty without one."""
        said = one_line(self.words.note or "", 400)
        return f"{said} ({self.author.partition(' <')[0]})" if said else ""


def write_amendment(
    repository: Repository, keys: Keyring, commit: str, words: AmendmentWords
) -> Amendment:
    """Stores an amendment of a candidate, after all that count and are known here."""
    name, at = commit[:12], int(time.time())
    known = read_amendments(repository, keys, name, repository.refs(AMENDMENTS))
    number = 1 + max((amendment.words.number for amendment in known), default=0)
    said = words.printable().model_copy(update={"number": number})
    message = f"{said.model_dump_json(exclude_none=True)}\n"
    sign = partial(keys.sign, AMENDMENT)
    oid = repository.write_tag(commit, f"amendment/{name}", message, at, sign)
    written = read_amendment(repository, keys, oid, name)
    if written is None:
        raise ArchiveError(
            "What this machine signs does not count here, so the amendment would say nothing",
            where=name,
            remedy="See whether its key can be read: kernel-harness trust.",
        )
    ref = f"{AMENDMENTS}/{name}-{oid[:12]}"
    if repository.held_by({ref}).get(ref) != oid:
        repository.update_refs([RefUpdate(ref, oid)])
    return written


def read_amendment(
    repository: Repository, keys: Keyring, oid: str, candidate_id: str
) -> Amendment | None:
    """Reads one amendment; None when it does not count here or is of another candidate."""
    try:
        kind, content = repository.read(oid, MOST_AMENDMENT_BYTES)
        found = parse_object(content)
        verified = keys.verify(found.signature, AMENDMENT, found.signed)
        target = found.header("object")
        if kind != "tag" or not verified.counts or target[:12] != candidate_id:
            return None
        said = found.message.partition("\n")[0]
        words = AmendmentWords.model_validate_json(said)
    except (ArchiveError, ValidationError):
        return None
    who = _TAGGER.fullmatch(found.header("tagger"))
    return Amendment(words, who["who"] if who else "", found.tagged_at, oid)


def amended_candidate(ref: str) -> str:
    """The id of the candidate that a ref's amendment is of; empty when it is no such ref."""
    found = _REF.fullmatch(ref.rpartition("/")[2])
    return found["candidate"] if found else ""


def read_amendments(
    repository: Repository, keys: Keyring, candidate_id: str, refs: Mapping[str, str]
) -> list[Amendment]:
    """Reads a candidate's amendments that count here, oldest first."""
    oids = {oid for ref, oid in refs.items() if amended_candidate(ref) == candidate_id}
    read = (read_amendment(repository, keys, oid, candidate_id) for oid in oids)
    return sorted(filter(None, read), key=lambda said: (said.words.number, said.at, said.oid))


def amended(manifest: CandidateManifest, amendments: Iterable[Amendment]) -> CandidateManifest:
    """A manifest with the newest words and tags."""
    changes: dict[str, object] = {}
    for amendment in amendments:
        words = amendment.words
        texts = {"hypothesis": words.hypothesis, "lesson": words.lesson, "technique": words.tags}
        changes |= {name: value for name, value in texts.items() if value is not None}
    return manifest.model_copy(update=changes)


def amended_parents(parents: tuple[str, ...], amendments: Iterable[Amendment]) -> tuple[str, ...]:
    """The newest parents, by candidate id; what can be none is left out."""
    for amendment in amendments:
        if amendment.words.parents is not None:
            names = (name[:12] for name in amendment.words.parents)
            parents = tuple(name for name in names if _CANDIDATE_ID.fullmatch(name))
    return parents
