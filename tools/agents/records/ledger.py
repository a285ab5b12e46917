"""The steps of a search as commits of a ref of its own, each with one file, event.json.

A commit is written before the step that follows it, and the ref moves by compare-and-swap: a
process that is killed at any moment leaves all steps that it told of. The archive's refs and these
know nothing of one another.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...archive.git.repository import ZERO, RefUpdate, Repository
from ...archive.store.manifest import ref_part
from ...errors import RequestError, unknown_name
from ...text import one_line
from .events import EVENT, SearchEvent

SEARCHES = "refs/searches"
EVENT_FILE = "event.json"


@dataclass(frozen=True)
class SearchName:
    """A search by its ref."""

    definition: str
    search_id: str

    @property
    def ref(self) -> str:
        """Where its steps are."""
        return f"{SEARCHES}/{ref_part(self.definition)}/{self.search_id}"


class SearchLedger:
    """The steps of one search; one process at a time writes them."""

    def __init__(self, repository: Repository, ref: str) -> None:
        self._repository, self.ref = repository, ref

    def append(self, event: SearchEvent) -> None:
        """Adds a step.

        Raises:
            RefConflict: when another process added one meanwhile.
        """
        self._repository.create()
        content = event.model_dump_json(indent=1, exclude_defaults=False).encode() + b"\n"
        tree = self._repository.write_tree({EVENT_FILE: content})
        head = self._repository.resolve(self.ref)
        parents = [head] if head else []
        commit = self._repository.write_commit(tree, parents, _subject(event), int(event.at))
        self._repository.update_refs([RefUpdate(self.ref, commit, head or ZERO)])

    def events(self) -> list[SearchEvent]:
        """All steps, oldest first."""
        if self._repository.resolve(self.ref) is None:
            return []
        commits = self._repository.run("rev-list", "--reverse", self.ref).split()
        read = (self._repository.read(f"{commit}:{EVENT_FILE}")[1] for commit in commits)
        return [EVENT.validate_json(content) for content in read]

    def length(self) -> int:
        """How many steps there are."""
        if self._repository.resolve(self.ref) is None:
            return 0
        return int(self._repository.run("rev-list", "--count", self.ref))


def searches(repository: Repository) -> list[SearchLedger]:
    """All searches of an archive, the one that began last first."""
    refs = repository.refs(SEARCHES) if repository.exists else {}
    named = sorted(refs, key=lambda ref: ref.rpartition("/")[2], reverse=True)
    return [SearchLedger(repository, ref) for ref in named]


def search_named(repository: Repository, name: str) -> SearchLedger:
    """The search of an id, a unique part of its beginning, or an operator's last one.

    Raises:
        RequestError: when there is none, or several.
    """
    every = searches(repository)
    begins = [s for s in every if s.ref.rpartition("/")[2].startswith(name)]
    if len(begins) > 1 and begins[0].ref.rpartition("/")[2] != name:
        ids = ", ".join(s.ref.rpartition("/")[2] for s in begins[:5])
        raise RequestError(f"Search {name!r} could be any of {ids}", remedy="Give more of its id.")
    found = begins or [s for s in every if name in s.ref.split("/")[2]]
    if not found:
        known = [s.ref.rpartition("/")[2] for s in every]
        raise unknown_name(
            "search", name, known, remedy="`kernel-harness optimize status` lists them."
        )
    return found[0]


def _subject(event: SearchEvent) -> str:
    number = getattr(event, "number", None)
    words = f"{event.kind}" + (f" {number}" if number is not None else "")
    more = getattr(event, "reason", "") or getattr(event, "words", "") or getattr(event, "why", "")
    return one_line(f"{words}: {more}" if more else words, 120) + "\n"
