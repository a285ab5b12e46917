"""Describes what host code does by torch before and after launches: which operations, on what.

Values of tensors are not described, numbers are. Alike in two processes for host code that takes
the same way in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

MOST_NAMES = 4
ARGUMENT_CHARACTERS = 120
_PLAIN = (bool, int, float, str, bytes, type(None), torch.dtype, torch.device)


@dataclass
class HostWork:
    """The operations since it was last asked."""

    count: int = 0
    _names: list[str] = field(default_factory=list)
    _digest: Any = field(default_factory=hashlib.sha256)

    def note(self, name: str, arguments: Sequence[Any]) -> None:
        """Adds an operation."""
        self.count += 1
        if len(self._names) < MOST_NAMES:
            self._names.append(name)
        words = ", ".join(map(_words, arguments))
        self._digest.update(f"{name}({words});".encode("utf-8", "replace"))

    def copy(self) -> HostWork:
        """The same operations, to be added to apart."""
        return HostWork(self.count, list(self._names), self._digest.copy())

    def words(self) -> str:
        """The operations in short; empty where there were none."""
        if not self.count:
            return ""
        more = ", …" if self.count > len(self._names) else ""
        said = f"{self.count} operations ({', '.join(self._names)}{more})"
        return f"{said} {self._digest.hexdigest()[:12]}"


def _words(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, _PLAIN):
        return repr(value)[:ARGUMENT_CHARACTERS]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_words, value[:8]))}]"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return type(value).__name__
