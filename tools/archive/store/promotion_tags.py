"""Promotions and rollbacks as they are read from annotated tags.

A tag decides here when it lies under refs/tags and this machine signed it, or it was there before
anything was signed. Others are promotions elsewhere: they are shown, and decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...errors import ArchiveError
from ...schema.measurement import TimeSource
from ...signing.keyring import Keyring, Trust, Verification
from ...signing.signature import PROMOTION
from ...text import one_line, printable
from ..git.objects import GitObject, parse_object
from ..git.repository import Repository
from .commit.message import read_trailers
from .index_sync import QUARANTINE
from .manifest import MOST_MESSAGE_BYTES, ref_part

EVENT_KINDS = ("promoted", "verified", "rollback")
TAGS = "refs/tags"
NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class PromotionEvent:
    """One promotion or rollback, read from its tag.

    Attributes:
        kind: "promoted", "verified" or "rollback".
        commit: the promoted candidate, or the one that a rollback returned to; empty for none.
        clock: of the times that decided a promotion; "claimed" where its tag names none.
        signer: who signed the tag, in words.
    """

    kind: str
    definition: str
    gpu: str
    number: int
    commit: str
    at: int
    tag: str
    message: str
    clock: str = TimeSource.CLAIMED
    signer: str = ""

    @property
    def candidate_id(self) -> str:
        """Id of the candidate at `commit`."""
        return self.commit[:12]


def promotion_events(
    repository: Repository, keys: Keyring, definition: str | None = None, gpu: str | None = None
) -> list[PromotionEvent]:
    """Promotions and rollbacks that were decided here, oldest first within each track."""
    tags = (
        (ref, oid)
        for kind in EVENT_KINDS
        for ref, oid in repository.refs(f"{TAGS}/{kind}{_scope(definition)}").items()
    )
    decided = (Trust.OWN, Trust.BEFORE_SIGNING)
    found = (event for event, trust in _read(repository, keys, tags) if trust.trust in decided)
    return _ordered(event for event in found if gpu in (None, event.gpu))


def promotions_elsewhere(
    repository: Repository, keys: Keyring, definition: str | None = None
) -> list[PromotionEvent]:
    """Promotions and rollbacks that others decided, fetched or pushed here, with their signers."""
    own = set(repository.refs(TAGS).values())
    tags: dict[str, str] = {}
    for ref, oid in repository.refs(QUARANTINE).items():
        if oid not in own and ref.split("/")[3:4] == ["tags"]:
            tags.setdefault(oid, ref)
    fetched = _read(repository, keys, ((ref, oid) for oid, ref in tags.items()))
    pushed = (
        (event, found)
        for event, found in _read(repository, keys, repository.refs(TAGS).items())
        if found.trust not in (Trust.OWN, Trust.BEFORE_SIGNING)
    )
    events = (event for events in (fetched, pushed) for event, _ in events)
    return _ordered(event for event in events if definition in (None, event.definition))


def promotion_stacks(
    found: Iterable[PromotionEvent],
) -> dict[tuple[str, str], list[PromotionEvent]]:
    """Promotions by definition and device, the current one last, without those rolled back.

    Takes events oldest first within each track. Where a best was verified again its latest
    promotion stands for all of them.
    """
    stacks: dict[tuple[str, str], list[PromotionEvent]] = {}
    for event in found:
        stack = stacks.setdefault((event.definition, event.gpu), [])
        if event.kind != "rollback":
            if stack and stack[-1].commit == event.commit:
                stack.pop()
            stack.append(event)
        elif stack:
            stack.pop()
    return {key: stack for key, stack in stacks.items() if stack}


def _read(
    repository: Repository, keys: Keyring, tags: Iterable[tuple[str, str]]
) -> Iterator[tuple[PromotionEvent, Verification]]:
    """Events with what their signatures are worth; what is no event of ours is left out."""
    for ref, oid in tags:
        name = ref.split(f"{TAGS}/", 1)[-1] if ref.startswith(TAGS) else ref.split("/tags/", 1)[-1]
        parts = name.split("/")
        if parts[0] not in EVENT_KINDS or not NUMBER.fullmatch(parts[-1]):
            continue
        try:
            kind, content = repository.read(oid, MOST_MESSAGE_BYTES)
        except ArchiveError:
            continue
        tag = parse_object(content)
        if kind == "tag" and tag.header("tag") == name and tag.ids("object"):
            found = keys.verify_object(oid, tag.signature, PROMOTION, tag.signed)
            yield _event(ref, tag, found), found


def _event(ref: str, tag: GitObject, found: Verification) -> PromotionEvent:
    message = printable(tag.message)
    said = read_trailers(message)
    kind, number = tag.header("tag").split("/")[0], tag.header("tag").rsplit("/", 1)[-1]
    withdrawn = kind == "rollback" and said.get("To", [""])[0] == "none"
    return PromotionEvent(
        kind=kind,
        definition=said.get("Definition", [""])[0],
        gpu=said.get("Gpu", [""])[0],
        number=int(number),
        commit="" if withdrawn else tag.ids("object")[0],
        at=tag.tagged_at,
        tag=ref,
        message=message,
        clock=said.get("Clock", [TimeSource.CLAIMED])[0],
        signer=one_line(found.words, 200),
    )


def _ordered(events: Iterable[PromotionEvent]) -> list[PromotionEvent]:
    return sorted(events, key=lambda e: (e.definition, e.gpu, e.number))


def _scope(definition: str | None) -> str:
    return f"/{ref_part(definition)}" if definition else ""
