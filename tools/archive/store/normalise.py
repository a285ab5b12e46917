"""Normalises sources: removes what cannot change behaviour, so that a repeat is recognised.

Python loses comments, formatting and docstrings; C-like languages lose comments and spacing. What
it does not know: renamed variables, reordered functions, comments inside CUDA text that a Python
file holds as a string. Two equal hashes mean the same program; two different ones mean nothing.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ...text import python_tree

if TYPE_CHECKING:
    from ...schema.flashinfer_trace import Solution

MOST_PARSED = 64 << 10
"""Characters of Python that are parsed: parsing holds the interpreter's lock."""
_C_LIKE = {".cu", ".cuh", ".c", ".cc", ".cpp", ".cxx", ".h", ".hpp"}
_C_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)"""
    r"""|(?P<raw>R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)")"""
    r"""|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
    r"""|(?P<line>\n)|(?P<space>[^\S\n]+|\\\n)"""
    r"""|(?P<word>[A-Za-z_0-9.]+)|(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)


@lru_cache(maxsize=32)
def normalised_source(path: str, text: str) -> str:
    """One file without comments and formatting; of an unknown suffix, without trailing space.

    A program is looked up when it is judged, committed and archived: the last few are remembered.
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix == ".py":
        return _normalised_python(text)
    if suffix in _C_LIKE:
        return _normalised_c(text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def normalised_hash(solution: Solution) -> str:
    """sha256 over everything that changes behaviour, sources normalised."""
    from ...schema.flashinfer_trace import digest_of

    spec = solution.spec
    parts = [
        solution.definition,
        str(spec.language),
        spec.entry_point,
        str(spec.binding or ""),
        str(spec.destination_passing_style),
        str(len(spec.dependencies)),
        *sorted(spec.dependencies),
    ]
    for source in sorted(solution.sources, key=lambda s: s.path):
        parts += [source.path, normalised_source(source.path, source.content)]
    return digest_of("normalised", *parts)


def _normalised_python(text: str) -> str:
    if len(text) > MOST_PARSED:
        text = _without_comments(text)
    try:
        if len(text) > MOST_PARSED:
            raise ValueError("too long to be parsed")
        tree = python_tree(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    node.body = node.body[1:] or [ast.Pass()]
    try:
        return ast.dump(tree, annotate_fields=False)
    except RecursionError:
        return text


def _without_comments(text: str) -> str:
    """Python without comments, without the words of docstrings, and without blank lines."""
    lines = text.splitlines(keepends=True)
    cuts: list[tuple[tokenize.TokenInfo, str]] = []
    before = tokenize.NEWLINE
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                cuts.append((token, ""))
            elif token.type == tokenize.STRING and before in _STATEMENT_BEGINS:
                cuts.append((token, '""'))
            if token.type not in (tokenize.COMMENT, tokenize.NL):
                before = token.type
    except (tokenize.TokenError, SyntaxError, ValueError):
        return text
    for token, instead in reversed(cuts):
        (first, begin), (last, end) = token.start, token.end
        kept = lines[first - 1][:begin] + instead + lines[last - 1][end:]
        lines[first - 1 : last] = [kept]
    return "".join(line for line in lines if line.strip())


_STATEMENT_BEGINS = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)


def _normalised_c(text: str) -> str:
    """Tokens joined by one space where two words would meet; a preprocessor line keeps its end."""
    out: list[str] = []
    last = ""
    in_directive, at_start = False, True
    for match in _C_TOKEN.finditer(text):
        kind, token = match.lastgroup, match[0]
        if kind == "mark":
            kind = "raw"
        if kind == "line":
            if in_directive:
                out.append("\n")
            in_directive, at_start, last = False, True, "line"
            continue
        if kind in ("comment", "space"):
            last = "gap" if last == "word" else last
            if in_directive:
                out.append(" ")
            continue
        if at_start and token == "#":
            in_directive = True
            out.append("\n")
        if kind == "word" and last in ("word", "gap"):
            out.append(" ")
        out.append(token)
        last, at_start = "word" if kind == "word" else "other", False
    return re.sub(r" +(?=\n)", "", re.sub(r" +", " ", "".join(out))).strip()
