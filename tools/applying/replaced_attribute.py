"""Finds an attribute of a running program, puts something in its place, and takes it away again."""

from __future__ import annotations

import importlib
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


def attribute_owner(name: str) -> tuple[Any, str]:
    """The module, class or object that holds a dotted name, and the name's last part.

    The owner is None where no module begins the name, or something on the way is not there.

    Raises:
        ImportError: when a module of the name is there and cannot be imported.
    """
    *parts, last = name.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        try:
            owner: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            continue
        for part in parts[count:]:
            owner = getattr(owner, part, None)
        return owner, last
    return None, last
