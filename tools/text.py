"""Untrusted text made fit to be shown: no control characters, one line, a length; or parsed.

Candidates, compilers and agents write texts that end in terminals, commit messages and answers.
"""

from __future__ import annotations

import ast
import json
import re
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_parsing = threading.Lock()
_RANDOM_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_MARK_CHARACTERS = 40
"""Room for the words that stand for what was cut out."""
_ELLIPSIS = " … "
MOST_FAULTS = 8
"""Of a text that a model refuses, told at once."""
JSON_LINE = 100
"""Characters of a line of JSON, which a part that cannot be parted may exceed."""
_COUNTED_FROM = 400
"""Characters that a text may have, from which it says how many were left out."""
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links
)


def printable(text: str) -> str:
    """The text without terminal escape sequences and without characters that print nothing.

    Line feeds and tabs stay; other space becomes a blank. What reorders text (bidirectional marks)
    or joins letters invisibly goes. Carriage returns become line feeds, so that no line can
    overwrite another.
    """
    if text.isprintable():
        return text
    plain = _ESCAPE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(
        c if c.isprintable() or c in "\n\t" else " " if c.isspace() else "" for c in plain
    )


def visible(text: str) -> str:
    """The text with each character that prints nothing as its escape, e.g. "\\u202e".

    For sources: what reorders or hides code shows, and nothing of it is left out.
    """
    if text.isprintable():
        return text
    shown = (c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    return "".join(shown)


def one_line(text: str, limit: int = 200) -> str:
    """The printable text on one line, cut to `limit` characters with an ellipsis."""
    words = " ".join(printable(text).split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def shorten(text: str, limit: int) -> str:
    """The printable text in at most `limit` characters: its head and its end, if it is longer.

    A text that was cut to a few lines says where with an ellipsis, a longer one how much is gone.
    """
    plain = printable(text)
    if len(plain) <= limit:
        return plain
    if limit < 2 * _MARK_CHARACTERS:
        return plain[: limit - 1] + "…"
    kept = limit - (len(_ELLIPSIS) if limit < _COUNTED_FROM else _MARK_CHARACTERS)
    tail = kept * 3 // 10
    mark = _ELLIPSIS
    if limit >= _COUNTED_FROM:
        mark = f"\n… {len(plain) - kept:,} characters left out …\n"
    return f"{plain[: kept - tail]}{mark}{plain[-tail:]}"


def counted(number: int, thing: str) -> str:
    """A count with its noun: 1 workload, 2 workloads."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def field_faults(error: ValidationError) -> list[tuple[str, str]]:
    """Every field that a model refused, as its path, and why; the path is empty of the whole."""
    return [
        (".".join(str(part) for part in fault["loc"]), fault["msg"].removeprefix("Value error, "))
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def fault_words(error: ValidationError, whole: str = "") -> str:
    """What a model refused, the first fields of it, in a line.

    Args:
        whole: stands before what is said of no field.
    """
    faults = field_faults(error)
    said = [": ".join(filter(None, (place or whole, why))) for place, why in faults]
    more = len(said) - MOST_FAULTS
    return "; ".join(said[:MOST_FAULTS]) + (f"; and {more} more" if more > 0 else "")


def python_tree(text: str, filename: str = "<unknown>") -> ast.Module:
    """The syntax tree of a Python source, parsed while no other thread parses.

    CPython 3.11 counts the depth of a tree for all threads together: two that parse at the same
    time can end in a SystemError, which is nobody's syntax error.
    """
    with _parsing:
        return ast.parse(text, filename)


def python_expression(text: str) -> ast.Expression:
    """The syntax tree of a Python expression, parsed as `python_tree` does."""
    with _parsing:
        return ast.parse(text, mode="eval")


def readable_json(value: object, depth: int = 0) -> str:
    """Plain data as JSON: a line for what fits one, else a line for each part of it."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or depth + len(flat) <= JSON_LINE:
        return flat
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(name, ensure_ascii=False)}: {readable_json(part, depth + 1)}"
            for name, part in value.items()
        ]
    else:
        parts = [readable_json(part, depth + 1) for part in value]
    inner = ",\n".join(" " * (depth + 1) + part for part in parts)
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    return f"{opened}\n{inner}\n{' ' * depth}{closed}"


def short_uuid(uuid: str) -> str:
    """The beginning of a random UUID that tells it from others; any other id whole.

    Ids that people give have common beginnings, as prefill-512 and prefill-1024 have, and so have
    UUIDs that are made of the time.
    """
    return uuid[:8] if _RANDOM_UUID.fullmatch(uuid) else one_line(uuid, 100)
