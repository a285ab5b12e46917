"""Finds the file and line where a kernel does not compile, and the compiler's message.

Triton counts lines from a kernel's `def`, and the assembler counts those of text that nobody wrote;
an agent can correct neither. Both are brought back to lines of the candidate's own files.

It knows texts and exceptions only, and believes neither: what it finds is wording. A function that
is written alike twice is placed at the first; code of a library is named by its text alone.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...messages.frames import EXCERPT_CHARACTERS
from ..faults import CandidateError, cut, own_line

_ASSEMBLY = re.compile(r"(?P<file>\S+\.ptx), line (?P<line>\d+); (?P<what>(?:error|fatal)\b.*)")
_FILE = re.compile(r'^\s*\.file\s+(\d+)\s+"([^"]+)"')
_LOCATION = re.compile(r"^\s*\.loc\s+(\d+)\s+(\d+)\s")
_ENTRY = re.compile(r"\.entry\s+([\w$]+)")
_THREADS = re.compile(r"^\s*\.(?:max|req)ntid\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?")
_PTX_BYTES = 32 << 20
MOST_ERRORS = 4
SHOWN_LINES = 3


def not_compiled(
    error: BaseException, launch: BaseException, source_dir: Path, function: str = "kernel"
) -> str:
    """Why a Triton launch did not compile: place, message, and the line that launched it.

    Args:
        error: what Triton raised.
        launch: the exception that went up through the candidate's own frames.
        source_dir: folder of the candidate's sources.
        function: the kernel's name.
    """
    sources = _sources(source_dir)
    parts = [_triton_words(error, sources), *_assembly_words(str(error), source_dir)]
    said = "\n".join(part for part in parts if part)
    if not said:
        own = isinstance(error, CandidateError)
        said = error.fault.message if own else f"{function}: {_named(error)}"
    from_where = own_line(launch, source_dir)
    if from_where:
        said += f"\nlaunched at {from_where}"
    return cut(said, EXCERPT_CHARACTERS)


def in_python(words: str, file: str, content: str, source_dir: Path) -> str:
    """A compiler's words on a text that Python made, with the lines of the sources that state it.

    A line that stands in several places of them, or in none, keeps the number it has in `file`.
    """
    lines, places = content.splitlines(), dict[str, list[str]]()
    for path, source in _sources(source_dir).items():
        for number, line in enumerate(source.splitlines(), start=1):
            places.setdefault(line.strip(), []).append(f"{path}({number})")

    def place(found: re.Match[str]) -> str:
        number = int(found[1])
        stated = places.get(lines[number - 1].strip(), []) if 0 < number <= len(lines) else []
        return stated[0] if len(stated) == 1 else found[0]

    return re.sub(rf"\b{re.escape(file)}\((\d+)\)", place, words)


def _sources(source_dir: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(source_dir.rglob("*.py")):
        with contextlib.suppress(OSError, ValueError):
            found[str(file.relative_to(source_dir))] = file.read_text(encoding="utf-8")
    return found


def _triton_words(error: BaseException, sources: Mapping[str, str]) -> str:
    """The innermost of Triton's compile errors; outer ones are the calls that led there."""
    innermost: Any = None
    seen: BaseException | None = error
    while seen is not None:
        if hasattr(seen, "node") and hasattr(seen, "src"):
            innermost = seen
        seen = seen.__cause__ or seen.__context__
    if innermost is None:
        return ""
    line = getattr(innermost.node, "lineno", None)
    said = (innermost.error_message or "").strip() or _context_of(innermost)
    text = str(innermost.src or "")
    if line is None or not text:
        return said
    place = place_of(text, line, sources)
    where = f"{place[0]}:{place[1]}" if place else f"line {line} of the kernel"
    shown = text.split("\n")[max(0, line - SHOWN_LINES) : line]
    caret = " " * getattr(innermost.node, "col_offset", 0) + "^"
    return "\n".join([f"{where}: {said}", *shown, caret])


def _context_of(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    return _named(cause) if cause is not None else "it does not compile"


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def place_of(text: str, line: int, sources: Mapping[str, str]) -> tuple[str, int] | None:
    """Finds the file and line of a function's `line`, counted from 1.

    Args:
        text: the function from its `def`, without the indentation it has in its file.
        line: one of its lines.
        sources: file names to their text.
    """
    excerpt = [row.strip() for row in text.rstrip().split("\n")]
    for name, source in sources.items():
        rows = [row.strip() for row in source.split("\n")]
        for start in range(len(rows) - len(excerpt) + 1):
            if rows[start] == excerpt[0] and rows[start : start + len(excerpt)] == excerpt:
                return name, start + line
    return None


def _assembly_words(log: str, source_dir: Path) -> list[str]:
    """The assembler's errors at the lines that its input says they come from."""
    messages: dict[str, None] = {}
    for found in _ASSEMBLY.finditer(log):
        text = _ptx(Path(found["file"]))
        place = source_line(text, int(found["line"])) if text else None
        where = "inline assembly"
        if place is not None:
            where = f"{place[0].removeprefix(f'{source_dir}/')}:{place[1]}"
        messages[f"{where}: {re.sub(r'^(error|fatal) *: *', '', found['what']).strip()}"] = None
        if len(messages) == MOST_ERRORS:
            break
    return list(messages)


def assembler_words(log: str, source_dir: Path) -> str:
    """An assembler's errors by source line; empty where its log holds none."""
    return "\n".join(_assembly_words(log, source_dir))


def _ptx(file: Path) -> str:
    with contextlib.suppress(OSError):
        with file.open("rb") as opened:
            return opened.read(_PTX_BYTES).decode("utf-8", "replace")
    return ""


def source_line(ptx: str, line: int) -> tuple[str, int] | None:
    """The source file and line that a line of assembly comes from, by its line directives."""
    rows = ptx.splitlines()
    files = {m[1]: m[2] for row in rows if (m := _FILE.match(row))}
    for row in reversed(rows[:line]):
        found = _LOCATION.match(row)
        if found:
            return (files[found[1]], int(found[2])) if found[1] in files else None
        if _ENTRY.search(row):
            return None
    return None


def block_sizes(ptx: str) -> dict[str, int]:
    """Threads of a block by kernel, where its source states them (`__launch_bounds__`)."""
    sizes: dict[str, int] = {}
    kernel = None
    for row in ptx.splitlines():
        entry, threads = _ENTRY.search(row), _THREADS.match(row)
        if entry:
            kernel = entry[1]
        elif threads and kernel:
            axes = [int(axis) for axis in threads.groups() if axis]
            sizes[kernel] = (
                axes[0] * (axes[1] if len(axes) > 1 else 1) * (axes[2] if len(axes) > 2 else 1)
            )
        elif row.startswith("{"):
            kernel = None
    return sizes
