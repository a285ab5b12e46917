"""Every cubin that this process loaded, and which of them a captured function comes from.

A kernel's name can stand in several cubins: each configuration that an autotuner tried has one. A
module's handle decides; where it is not known (kernels of libraries), only cubins that define the
name count, and they must agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from ...driver.cubin import KERNEL_PREFIX, Cubin, CubinError, read_cubin, section_names


@dataclass(frozen=True)
class LoadedCubin:
    """A cubin, the module that it became where that is known, and the names of its sections."""

    data: bytes
    module: int | None
    names: bytes

    def defines(self, name: str) -> bool:
        """Whether it has code for a kernel of this name."""
        if f"{KERNEL_PREFIX}{name}\0".encode() not in self.names:
            return False  # reading the tables of every cubin of a library takes seconds
        tables = tables_of(self.data)
        return tables is not None and name in tables.kernels


@dataclass
class _Search:
    """What was found of a name, and how many cubins were looked at for it."""

    looked_at: int = 0
    found: list[LoadedCubin] = field(default_factory=list)


@dataclass
class ModuleLog:
    """The cubins, in the order in which they were loaded."""

    loaded: list[LoadedCubin] = field(default_factory=list)
    _searches: dict[str, _Search] = field(default_factory=dict)

    def add(self, data: bytes, module: int | None) -> None:
        """Notes a cubin; the newest counts where the driver gives a handle again."""
        if data:
            self.loaded.append(LoadedCubin(data, module, _names(data)))

    def candidates(self, name: str, module: int) -> list[bytes]:
        """Cubins, newest first, that may hold the function; one if the module is known."""
        search = self._searches.setdefault(name, _Search())
        search.found += [c for c in self.loaded[search.looked_at :] if c.defines(name)]
        search.looked_at = len(self.loaded)
        for cubin in reversed(search.found):
            if cubin.module == module:
                return [cubin.data]
        return _distinct(c.data for c in reversed(search.found) if c.module is None)


def _names(data: bytes) -> bytes:
    try:
        return section_names(data)
    except CubinError:
        return b""


@lru_cache(maxsize=256)
def tables_of(data: bytes) -> Cubin | None:
    """The cubin's tables; None when it cannot be read."""
    try:
        return read_cubin(data)
    except CubinError:
        return None


def _distinct(cubins: Iterable[bytes]) -> list[bytes]:
    return list(dict.fromkeys(cubins))
