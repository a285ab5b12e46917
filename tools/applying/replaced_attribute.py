"""Puts something in an attribute's place in a running program, and takes it away again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def replace_attribute(owner: Any, name: str, stands: Any) -> Callable[[], None]:
    """Sets an attribute; returns what gives it back as it was, unless something lies over it since.

    Args:
        owner: a module, a class or an instance.
        name: of the attribute, its own or an inherited one.
        stands: what takes its place.
    """
    own = vars(owner).get(name)
    setattr(owner, name, stands)

    def restore() -> None:
        if vars(owner).get(name) is not stands:
            return  # something else lies over it, which calls what it found
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)

    return restore
