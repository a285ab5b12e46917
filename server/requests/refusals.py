"""Words for arguments that are not of their tool's form: the place, what is there, the form due.

Works on the schema that the SDK makes of the tool's function, and on what pydantic found, without
its wording.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from ...tools.text import one_line
from .arguments import alternatives

MOST_PLACES = 3
"""Of one argument, that are named."""
SHOWN = 120
PLAIN = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def validation_message(
    tool: str, schema: Mapping[str, Any], arguments: Mapping[str, Any], error: ValidationError
) -> str:
    """Returns what is wrong with the arguments, each place once, with the form that is due.

    Args:
        schema: of all arguments.
    """
    found: dict[str, dict[str, _Place]] = {}
    for fault in error.errors(include_url=False):
        if not fault["loc"]:
            return f"{tool}: {fault['msg']}."
        name, *inner = fault["loc"]
        keys, missing = _keys(arguments.get(str(name)), inner)
        where = "".join(f"[{key!r}]" for key in keys)
        place = found.setdefault(str(name), {}).setdefault(where, _Place(fault.get("input")))
        if fault["type"] == "missing":
            place.lacking += missing
            place.required = not inner
        else:
            place.said[fault["msg"].replace("Input should", "it should")] = None
            place.of_choice &= fault["type"] == "literal_error"
    properties = schema.get("properties", {})
    lines = [
        _line(name, places, properties.get(name, {}), schema) for name, places in found.items()
    ]
    return f"{tool}: {'; '.join(lines)}."


@dataclass
class _Place:
    """What is wrong at one place of an argument.

    Attributes:
        lacking: keys that are not there.
        of_choice: only words are due there, which are all told.
    """

    given: Any
    said: dict[str, None] = field(default_factory=dict)
    lacking: list[int | str] = field(default_factory=list)
    required: bool = False
    of_choice: bool = True

    def words(self, name: str, where: str) -> str:
        """What is wrong here, in words."""
        if self.required:
            return f"argument {name!r} is required"
        at = f" at {where}" if where else ""
        found = []
        if self.lacking:
            found.append(f"lacks {', '.join(map(repr, self.lacking))}{at}")
        if self.said:
            given = one_line(json.dumps(self.given, default=str), SHOWN)
            due = " or ".join(self.said) + _unread(self.given)
            found.append(f"cannot {'hold' if at else 'be'} {given}{at}: {due}")
        return f"argument {name!r} {' and '.join(found)}"


def _unread(given: Any) -> str:
    """Where a text was to be JSON and is none, the place from which on it cannot be read."""
    if not isinstance(given, str) or not given.startswith(("{", "[")):
        return ""
    try:
        json.loads(given)
    except json.JSONDecodeError as error:
        return f" (as JSON this text is wrong at character {error.pos}: {error.msg})"
    except RecursionError:
        pass
    return ""


def _keys(value: Any, path: Sequence[int | str]) -> tuple[list[int | str], list[int | str]]:
    """The keys of a path that lead into a value, and those that it lacks.

    Of a value that may be one of several kinds, pydantic names the kind in the path, too.
    """
    keys: list[int | str] = []
    lacking: list[int | str] = []
    for key in path:
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            lacking.append(key)
            continue
        keys.append(key)
    return keys, lacking


def _line(
    name: str, places: Mapping[str, _Place], schema: Mapping[str, Any], root: Mapping[str, Any]
) -> str:
    """What is wrong with one argument, and its form where words alone do not tell it."""
    lines = [place.words(name, where) for where, place in list(places.items())[:MOST_PLACES]]
    if (more := len(places) - MOST_PLACES) > 0:
        lines.append(f"{more} more places are not of the form")
    kinds = {one.get("type") for one in alternatives(schema, root)}
    plain = all(
        (place.of_choice and not place.lacking) or place.required for place in places.values()
    )
    if kinds & {"object", "array"} and not plain:
        example = str(schema.get("description", "")).partition(";")[0].rstrip(".")
        lines.append(f"its form is {_form(schema, root)}" + (f" ({example})" if example else ""))
    return ", ".join(lines)


def _form(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """The form of a value, as it would be written, with words for what may be anything."""
    forms = [_plain_form(plain, root) for plain in alternatives(schema, root)]
    return " or ".join(dict.fromkeys(form for form in forms if form)) or "anything"


def _plain_form(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if members := schema.get("enum"):
        return " or ".join(json.dumps(member) for member in members)
    if kind == "array":
        return f"[{_form(schema.get('items', {}), root)}, …]"
    if kind == "object":
        if fields := schema.get("properties"):
            parts = [f"{name!r}: {_form(field, root)}" for name, field in fields.items()]
            return f"{{{', '.join(parts)}}}"
        further = schema.get("additionalProperties", {})
        return f"{{name: {_form(further if isinstance(further, Mapping) else {}, root)}, …}}"
    return "" if kind == "null" else PLAIN.get(str(kind), "anything")
