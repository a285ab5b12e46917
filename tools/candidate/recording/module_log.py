"""Every cubin that this process loaded, and which of them a captured function comes from.

A kernel's name can stand in several cubins: each configuration that an autotuner tried has one. A
module's handle decides; where it is not known (kernels of libraries), only cubins that define the
name count, and they must agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from ...driver.cubin import Cubin, CubinError, read_cubin


@dataclass(frozen=True)
class LoadedCubin:
    """A cubin, and the module that it became where that is known."""

    data: bytes
    module: int | None


@dataclass
class ModuleLog:
    """The cubins, in the order in which they were loaded."""

    loaded: list[LoadedCubin] = field(default_factory=list)

    def add(self, data: bytes, module: int | None) -> None:
        """Notes a cubin; the newest counts where the driver gives a handle again."""
        if data:
            self.loaded.append(LoadedCubin(data, module))

    def candidates(self, name: str, module: int) -> list[bytes]:
        """Cubins, newest first, that may hold the function; one if the module is known."""
        for cubin in reversed(self.loaded):
            if cubin.module == module and defines(cubin.data, name):
                return [cubin.data]
        return _distinct(
            cubin.data
            for cubin in reversed(self.loaded)
            if cubin.module is None and defines(cubin.data, name)
        )


def defines(data: bytes, name: str) -> bool:
    """Whether a cubin has code for a kernel of this name."""
    if name.encode() not in data:
        return False  # reading the tables of every cubin of a library takes seconds
    tables = tables_of(data)
    return tables is not None and name in tables.kernels


@lru_cache(maxsize=256)
def tables_of(data: bytes) -> Cubin | None:
    """The cubin's tables; None when it cannot be read."""
    try:
        return read_cubin(data)
    except CubinError:
        return None


def _distinct(cubins: Iterable[bytes]) -> list[bytes]:
    return list(dict.fromkeys(cubins))
