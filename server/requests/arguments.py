"""Corrects a model's slips in arguments, and refuses names that a tool does not have.

The SDK drops unknown names, so that a misspelt `workload=` would measure everything; here it is
refused with the nearest name. Slips with one reading are corrected: JSON inside a string, one value
for a list, a list of one for a value, a trailing slash, an enum in the wrong case, `null` for an
argument with a default. Works on schemas alone; names of definitions and the like are resolved
elsewhere.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from ...tools.errors import RequestError

FREE_TEXT = frozenset({"hypothesis", "lesson", "note", "query", "reason"})
"""Arguments that are prose: not unquoted, split or stripped of slashes."""
NEVER_EMPTY = frozenset({"plan"})
"""Arguments that mean something else when they are left out: an empty one is told to its tool."""


def understand(
    tool: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the arguments in the form of the tool's schema.

    Raises:
        RequestError: for names that the tool does not have.
    """
    known: Mapping[str, Any] = schema.get("properties", {})
    unknown = [name for name in arguments if name not in known]
    if unknown:
        raise _unknown_arguments(tool, unknown, list(known))
    required = set(schema.get("required", ()))
    understood: dict[str, Any] = {}
    for name, value in arguments.items():
        meant = _value(name, known[name], schema, value)
        absent = meant is None or (meant == "" and name not in NEVER_EMPTY)
        if absent and name not in required:
            continue
        understood[name] = meant
    return understood


def _unknown_arguments(tool: str, unknown: list[str], known: list[str]) -> RequestError:
    names = []
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        names.append(f"{name!r} (did you mean {near[0]!r}?)" if near else f"{name!r}")
    listing = ", ".join(known) if known else "none"
    return RequestError(
        f"{tool} has no argument {', '.join(names)}", remedy=f"Its arguments: {listing}."
    )


def alternatives(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The plain schemas that a value may satisfy, with references and unions resolved."""
    if "$ref" in schema:
        return alternatives(root.get("$defs", {})[str(schema["$ref"]).rsplit("/", 1)[-1]], root)
    if "anyOf" in schema:
        return [plain for part in schema["anyOf"] for plain in alternatives(part, root)]
    return [schema]


def _value(name: str, schema: Mapping[str, Any], root: Mapping[str, Any], value: Any) -> Any:
    plain = alternatives(schema, root)
    kinds = {str(part.get("type")) for part in plain}
    if isinstance(value, list) and len(value) == 1 and "array" not in kinds:
        value = value[0]
    if not isinstance(value, str) or name in FREE_TEXT:
        return value
    text = value.strip()
    parsed = _json(text)
    if isinstance(parsed, dict) and "object" in kinds:
        return parsed
    if "array" in kinds:
        if isinstance(parsed, list):
            return parsed
        if "string" not in kinds:
            # A list as Python prints one, too: descriptions show it so.
            parts = text.removeprefix("[").removesuffix("]").split(",")
            return [found for part in parts if (found := part.strip().strip("'\"").strip())]
    if "string" not in kinds:
        return text
    if isinstance(parsed, str):
        text = parsed.strip()
    text = text.rstrip("/") or text
    return _enum_member(plain, text)


def _json(text: str) -> Any:
    if not text or text[0] not in '{["':
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _enum_member(plain: list[Mapping[str, Any]], text: str) -> str:
    """Returns the member that is written in another case; any other text as it is."""
    members = [
        str(m) for part in plain for m in (*part.get("enum", ()), part.get("const", "")) if m
    ]
    typed = text.casefold()
    return next((member for member in members if member.casefold() == typed), text)
