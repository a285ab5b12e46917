"""Source code that lies here, by its words: installed packages that peers come from, and folders.

Files are cut into pieces of a few dozen lines, which an index of words keeps. It is derived: what
changed since is read again when it is next asked. Nothing of a package is imported.
"""

from __future__ import annotations

import importlib.util
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .words import any_of, terms

PACKAGES = (
    "fla",
    "flashinfer",
    "deep_gemm",
    "flash_mla",
    "flash_qla",
    "sgl_kernel",
    "sglang",
    "triton",
    "triton_kernels",
    "cutlass",
    "tilelang",
    "tvm_ffi",
)
"""By the names they are imported by: those of peers, and languages that kernels are written in."""
SUFFIXES = (".py", ".cu", ".cuh", ".h", ".hpp", ".cpp")
LEFT_OUT = frozenset({"tests", "test", "testing", "build", "spdlog", "node_modules"})
MOST_FILES = 6_000
MOST_BYTES = 300_000
"""Of one file; longer ones are tables."""
PIECE_LINES = 30
EXCERPT_LINES = 6
_SCHEMA = """
CREATE TABLE IF NOT EXISTS roots (root TEXT PRIMARY KEY, stamp TEXT) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS pieces USING fts5 (
    root UNINDEXED, path UNINDEXED, line UNINDEXED, body);
"""


@dataclass(frozen=True)
class SourcePassage:
    """A few lines of a file: its path on this machine, and the number of the first of them."""

    path: str
    line: int
    excerpt: str


def installed(packages: Sequence[str] = PACKAGES) -> dict[str, Path]:
    """The folders of the packages that are here, by name."""
    found: dict[str, Path] = {}
    for name in packages:
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or []) if spec else []
        if places:
            found[name] = Path(places[0])
    return found


def files_of(root: Path) -> Iterator[Path]:
    """The source files below a folder, in the order of their paths, at most `MOST_FILES`."""
    count = 0
    for path in sorted(root.rglob("*")):
        inner = path.relative_to(root).parts[:-1]
        if path.suffix not in SUFFIXES or any(p in LEFT_OUT or p[0] in "._" for p in inner):
            continue
        if path.is_file() and path.stat().st_size <= MOST_BYTES:
            yield path
            count += 1
            if count == MOST_FILES:
                return


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """Pieces of a text with the number of their first line; a piece ends before a definition."""
    begin, kept = 1, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        starts = re.match(r"(?:@|def |class |template|__global__)", line) is not None
        long = len(kept) >= PIECE_LINES
        if kept and (long or (starts and len(kept) >= PIECE_LINES // 2)):
            yield begin, "\n".join(kept)
            begin, kept = number, []
        kept.append(line)
    if any(line.strip() for line in kept):
        yield begin, "\n".join(kept)


def search_sources(
    database: Path, roots: Mapping[str, Path], query: str, limit: int
) -> list[SourcePassage]:
    """Finds pieces of the files below the folders that have words of the query, best first.

    Args:
        database: file of the index; made, and made again, when it has to be.
        roots: by a name under which a folder is kept.
    """
    found = terms(query)
    if not found or not roots:
        return []
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        connection.executescript(_SCHEMA)
        _refresh(connection, roots)
        rows = connection.execute(
            "SELECT path, line, body FROM pieces WHERE pieces MATCH ? AND root IN "
            f"({', '.join('?' * len(roots))}) ORDER BY bm25(pieces) LIMIT ?",
            [any_of(found), *map(str, roots.values()), limit],
        ).fetchall()
    words = re.findall(r"\w+", query.lower())
    return [_passage(path, line, body, words) for path, line, body in rows]


def _passage(path: str, line: int, body: str, words: Sequence[str]) -> SourcePassage:
    """The lines around that with most of the words."""
    lines = body.splitlines()
    hits = [sum(word in text.lower() for word in words) for text in lines]
    best = hits.index(max(hits)) if hits else 0
    begin = max(0, best - EXCERPT_LINES // 2)
    excerpt = "\n".join(lines[begin : begin + EXCERPT_LINES])
    return SourcePassage(path, line + begin, excerpt)


def _refresh(connection: sqlite3.Connection, roots: Mapping[str, Path]) -> None:
    known = dict(connection.execute("SELECT root, stamp FROM roots"))
    for root in roots.values():
        found = list(files_of(root))
        stamp = f"{len(found)}.{sum(f.stat().st_mtime_ns + f.stat().st_size for f in found)}"
        if known.get(str(root)) == stamp:
            continue
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM pieces WHERE root = ?", (str(root),))
            connection.executemany("INSERT INTO pieces VALUES (?, ?, ?, ?)", _rows(root, found))
            connection.execute("REPLACE INTO roots VALUES (?, ?)", (str(root), stamp))


def _rows(root: Path, found: Sequence[Path]) -> Iterator[tuple[str, str, int, str]]:
    for file in found:
        text = file.read_text(encoding="utf-8", errors="replace")
        for line, body in pieces(text):
            yield str(root), str(file), line, body
