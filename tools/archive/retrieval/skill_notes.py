"""Humans' notes under skills/, searched together with the archive's lessons.

Each heading of a Markdown file is one note. Files are read again when their time stamp changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..store.index import Index, transaction
from .words import any_of, terms

_HEADING = re.compile(r"^#{1,4}\s+(.*)$")


@dataclass(frozen=True)
class SkillNote:
    """One passage of a human's note: file below the skills folder, heading, and the words found."""

    path: str
    heading: str
    excerpt: str


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Heading and body of each part of a Markdown text, front matter and code fences kept whole."""
    heading, body, fenced = "", [], False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        found = None if fenced else _HEADING.match(line)
        if found:
            if any(part.strip() for part in body):
                yield heading, "\n".join(body).strip()
            heading, body = found[1].strip(), []
        else:
            body.append(line)
    if any(part.strip() for part in body):
        yield heading, "\n".join(body).strip()


def search_notes(index: Index, skills_dir: Path, query: str, limit: int = 5) -> list[SkillNote]:
    """Finds notes whose heading or text has the words of the query, best first."""
    _refresh(index, skills_dir)
    if not (expression := any_of(terms(query))):
        return []
    rows = index.rows(
        "SELECT path, heading, snippet(notes, 2, '', '', '…', 40) FROM notes WHERE notes MATCH ?"
        " ORDER BY bm25(notes, 0, 4, 1) LIMIT ?",
        [expression, limit],
    )
    return [SkillNote(path, heading, " ".join(excerpt.split())) for path, heading, excerpt in rows]


def _refresh(index: Index, skills_dir: Path) -> None:
    files = sorted(skills_dir.rglob("*.md")) if skills_dir.is_dir() else []
    present: dict[str, tuple[Path, str]] = {}
    for file in files:
        stat = file.stat()
        path = file.relative_to(skills_dir).as_posix()
        present[path] = (file, f"{stat.st_mtime_ns}.{stat.st_size}")
    known = dict(index.rows("SELECT path, stamp FROM note_files"))
    stale = [path for path in known if path not in present or present[path][1] != known[path]]
    fresh = [path for path in present if path not in known or path in stale]
    if not stale and not fresh:
        return
    with index.connect() as connection, transaction(connection):
        for path in {*stale, *fresh}:
            connection.execute("DELETE FROM notes WHERE path = ?", (path,))
            connection.execute("DELETE FROM note_files WHERE path = ?", (path,))
        for path in fresh:
            file, stamp = present[path]
            text = file.read_text(encoding="utf-8", errors="replace")
            connection.executemany(
                "INSERT INTO notes VALUES (?, ?, ?)", [(path, h, b) for h, b in sections(text)]
            )
            connection.execute("INSERT INTO note_files VALUES (?, ?)", (path, stamp))
