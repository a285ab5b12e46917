"""The schemas that `tools/list` gives: what an agent needs to call a tool, in few tokens.

Every client reads the list anew in every conversation. Arguments are told whole. Of a result only
its own fields and their kinds are told: one client shows nothing of it to its model, another shows
it as a type, and all fields come with the result. The documentation has them whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NULL = {"type": "null"}


def listed_input(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a tool's arguments, closed to others.

    An argument that may be null is one that may be left out, so null is not told; it is understood.
    """
    return {**_plain(schema), "additionalProperties": False}


def listed_output(schema: Mapping[str, Any], *, again: bool = False) -> dict[str, Any]:
    """The schema of a tool's result: its fields by kind.

    Which of them are always there is in the documentation.

    Args:
        again: whether another tool has the same result: the fields that may be left out of it are
            listed with that one.
    """
    fields = {name: _kind(field, schema) for name, field in schema["properties"].items()}
    if again:
        fields = {name: fields[name] for name in schema["required"]}
    return {"type": "object", "properties": fields}


def without_titles(schema: Any) -> Any:
    """The schema without the titles that pydantic derives from names."""
    if isinstance(schema, list):
        return [without_titles(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: without_titles(part)
        for name, part in schema.items()
        if name != "title" or not isinstance(part, str)
    }


def _plain(schema: Any) -> Any:
    """The schema without titles, nulls, kinds of an object's values, and defaults as they are."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = without_titles(schema)
    kinds = [part for part in found.get("anyOf", ()) if part != NULL]
    if len(kinds) < len(found.get("anyOf", ())):
        alone = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        found = {**alone, **{name: part for name, part in found.items() if name != "anyOf"}}
    if "default" in found and found["default"] is None:
        del found["default"]
    found.pop("additionalProperties", None)  # kinds of values, which descriptions and examples tell
    return {name: _plain(part) for name, part in found.items()}


def _kind(field: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The type of one field's values; empty where they have several.

    A field that is not required is left out where it is null, and so has the other type's values.
    """
    if "$ref" in field:
        return _kind(root["$defs"][str(field["$ref"]).rpartition("/")[2]], root)
    if "anyOf" in field:
        kinds = [part for part in field["anyOf"] if part != NULL or "default" not in field]
        return _kind(kinds[0], root) if len(kinds) == 1 else {}
    return {"type": field["type"]} if "type" in field else {}
