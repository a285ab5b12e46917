"""Changes one member of a JSON text and leaves every other byte as it was.

A client's configuration belongs to its user: loading and dumping it would reflow what others wrote.
This finds the place in the text and splices. It knows plain JSON only; a text with comments is
refused by the parser, with the position.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...tools.errors import RequestError

INDENT = "  "


@dataclass(frozen=True)
class Member:
    """Where one member of an object lies: `begin` is its key's quote, `end` is past its value."""

    key: str
    begin: int
    value: int
    end: int


def set_member(text: str, path: Sequence[str], value: Any) -> str:
    """Sets the member at `path`, making the objects on the way that are missing.

    Args:
        text: a JSON object; empty text stands for an empty one.
        path: keys from the root.
        value: anything that JSON can hold.

    Raises:
        RequestError: when the text is no JSON object, or something on the way is none.
    """
    text = text if text.strip() else "{}\n"
    start, depth = _root(text), 0
    for depth, key in enumerate(path[:-1], 1):
        found = _member(text, start, key)
        if found is None:
            return _insert(text, start, key, _nested(path[depth:], value), depth)
        start = found.value
    found = _member(text, start, path[-1])
    unit = _unit(text)
    if found is None:
        return _insert(text, start, path[-1], value, len(path))
    return text[: found.value] + _dump(value, unit, len(path)) + text[found.end :]


def remove_member(text: str, path: Sequence[str]) -> str:
    """Removes the member at `path` with the comma that it needed; no member, no change."""
    start = _root(text)
    for key in path[:-1]:
        found = _member(text, start, key)
        if found is None:
            return text
        start = found.value
    members = _members(text, start)
    place = next((i for i, member in enumerate(members) if member.key == path[-1]), None)
    if place is None:
        return text
    gone = members[place]
    if place > 0:
        return text[: members[place - 1].end] + text[gone.end :]
    if len(members) > 1:
        return text[: gone.begin] + text[members[1].begin :]
    closing = text.index("}", gone.end)
    return text[: start + 1] + text[closing:]


def member(text: str, path: Sequence[str]) -> Any:
    """The value at `path`; None when there is none."""
    value: Any = json.loads(text) if text.strip() else {}
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _root(text: str) -> int:
    try:
        if not isinstance(json.loads(text), dict):
            raise ValueError("it holds no object")
    except ValueError as error:
        raise RequestError(
            f"The configuration is not JSON: {error}",
            remedy="Mend it by hand first; nothing was changed.",
        ) from error
    return _space(text, 0)


def _space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _members(text: str, start: int) -> list[Member]:
    if text[start] != "{":
        raise RequestError(
            "The configuration holds something else where an object belongs",
            where=text[start : start + 40],
            remedy="Mend it by hand first; nothing was changed.",
        )
    decoder, members = json.JSONDecoder(), []
    at = _space(text, start + 1)
    while text[at] != "}":
        begin = at
        key, at = decoder.raw_decode(text, at)
        value = _space(text, _space(text, at) + 1)
        _, end = decoder.raw_decode(text, value)
        members.append(Member(key, begin, value, end))
        at = _space(text, end)
        if text[at] == ",":
            at = _space(text, at + 1)
    return members


def _member(text: str, start: int, key: str) -> Member | None:
    return next((member for member in _members(text, start) if member.key == key), None)


def _unit(text: str) -> str:
    """The indentation of the first member of the root, two spaces when it is on the same line."""
    members = _members(text, _root(text))
    if not members:
        return INDENT
    line = text[text.rfind("\n", 0, members[0].begin) + 1 : members[0].begin]
    return line if line and not line.strip() else INDENT


def _dump(value: Any, unit: str, depth: int) -> str:
    dumped = json.dumps(value, indent=unit, ensure_ascii=False)
    return dumped.replace("\n", "\n" + unit * depth)


def _nested(path: Sequence[str], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _insert(text: str, start: int, key: str, value: Any, depth: int) -> str:
    unit = _unit(text)
    written = f"\n{unit * depth}{json.dumps(key)}: {_dump(value, unit, depth)}"
    members = _members(text, start)
    if members:
        end = members[-1].end
        return text[:end] + "," + written + text[end:]
    closing = text.index("}", start)
    return text[: start + 1] + written + "\n" + unit * (depth - 1) + text[closing:]
