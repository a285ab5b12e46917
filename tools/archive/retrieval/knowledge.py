"""What is known of a subject: skills, lessons of every operator, and code of others here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..store.archive import Archive
from ..store.entry import Node
from .filters import SearchRequest
from .query import search
from .skill_notes import SkillNote, search_notes
from .sources import SourcePassage, installed, search_sources


@dataclass(frozen=True)
class Known:
    """Passages of each kind, best first.

    Attributes:
        lessons: candidates, of any operator, that have the words and a lesson.
        packages: those that were read.
    """

    notes: tuple[SkillNote, ...]
    lessons: tuple[Node, ...]
    sources: tuple[SourcePassage, ...]
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Knowledge:
    """Searches everything that may be read before a kernel is written.

    Args:
        folders: of code, beside the installed packages.
        database: file of the index of code.
    """

    archive: Archive
    skills_dirs: Sequence[Path]
    folders: Sequence[Path]
    database: Path

    def search(self, query: str, limit: int = 5) -> Known:
        """Finds at most `limit` passages of each kind; any word of the query counts."""
        packages = installed()
        roots = packages | {str(folder): folder for folder in self.folders if folder.is_dir()}
        found = search(self.archive, SearchRequest(None, query=query, limit=4 * limit))
        lessons = [node for node in found.candidates if node.lesson]
        return Known(
            notes=tuple(
                search_notes(self.archive.synced.current(), self.skills_dirs, query, limit)
            ),
            lessons=tuple(lessons[:limit]),
            sources=tuple(search_sources(self.database, roots, query, limit)),
            packages=tuple(packages),
        )
