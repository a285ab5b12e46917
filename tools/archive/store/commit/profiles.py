"""What the profiles in a candidate's commit name as its bottlenecks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ....text import one_line


def profile_bottlenecks(profiles: Mapping[str, bytes]) -> tuple[str, ...]:
    """Bottleneck classes that JSON profiles name under a key "bottleneck"."""
    found: list[str] = []
    for name, content in profiles.items():
        if name.endswith(".json"):
            try:
                found += _bottlenecks(json.loads(content))
            except (ValueError, RecursionError):
                continue
    return tuple(dict.fromkeys(found))


def _bottlenecks(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _bottlenecks(item)]
    if not isinstance(value, dict):
        return []
    found: list[str] = []
    for key, inner in value.items():
        if key == "bottleneck" and isinstance(inner, dict):
            inner = inner.get("kind") or inner.get("name") or inner.get("class")
        if key == "bottleneck" and isinstance(inner, str):
            found.append(one_line(inner, 60).lower().replace("_", " "))
        else:
            found += _bottlenecks(inner)
    return found
