"""Humans' notes under skills/, searched together with the archive's lessons.

Each heading of a Markdown file is one note. Files are read again when their time stamp changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..store.index import Index, transaction
from .words import any_of, terms

_HEADING = re.compile(r"^#{1,4}\s+(.*)$")


@dataclass(frozen=True)
class SkillNote:
    """One passage of a human's note: file below its folder of skills, heading, words found."""

    path: str
    heading: str
    excerpt: str
    line: int = 1


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


def search_notes(
    index: Index, skills_dirs: Sequence[Path], query: str, limit: int = 5
) -> list[SkillNote]:
    """Finds notes whose heading or text has the words of the query, best first.

    Args:
        skills_dirs: a skill of a later folder stands for one of the same name before.
    """
    present = _files_of(skills_dirs)
    _refresh(index, present)
    if not (expression := any_of(terms(query))):
        return []
    rows = index.rows(
        "SELECT path, heading, snippet(notes, 2, '', '', '…', 40) FROM notes WHERE notes MATCH ?"
        " ORDER BY bm25(notes, 0, 4, 1) LIMIT ?",
        [expression, limit],
    )
    return [
        SkillNote(path, heading, " ".join(excerpt.split()), _line_of(present[path][0], heading))
        for path, heading, excerpt in rows
    ]


def _line_of(file: Path, heading: str) -> int:
    """The line of a heading in a file; the first where it has none."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    found = (number for number, line in enumerate(lines, 1) if line.lstrip("# ") == heading)
    return next(found, 1) if heading else 1


def _files_of(skills_dirs: Sequence[Path]) -> dict[str, tuple[Path, str]]:
    """Every Markdown file by its path below its folder, with a stamp that an edit changes."""
    present: dict[str, tuple[Path, str]] = {}
    for folder in skills_dirs:
        own = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else ()
        present = {path: at for path, at in present.items() if path.split("/")[0] not in own}
        for file in sorted(folder.rglob("*.md")) if folder.is_dir() else []:
            if not file.is_file():  # an editor's lock is a link to nowhere
                continue
            stat = file.stat()
            path = file.relative_to(folder).as_posix()
            present[path] = (file, f"{file}.{stat.st_mtime_ns}.{stat.st_size}")
    return present


def _refresh(index: Index, present: Mapping[str, tuple[Path, str]]) -> None:
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
