"""Cubins loaded once more, to see what has become of a captured function or a variable.

Each is loaded once and kept: a library's take a tenth of a second, and every load is announced like
one of the candidate's own.
"""

from __future__ import annotations

from collections.abc import Collection

from ...driver import modules
from ...driver.library import Driver, DriverError
from ...driver.module_variables import contents_of, places_of

ATTRIBUTES = range(7)
"""Of CUfunction_attribute, those that follow from the code."""


class FreshModules:
    """What functions and variables of cubins are like before anything has used them.

    Args:
        driver: libcuda, with the candidate's context.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._modules: dict[bytes, int | None] = {}
        self._attributes: dict[tuple[bytes, str], list[int] | None] = {}
        self._contents: dict[bytes, dict[str, bytes]] = {}

    def attributes(self, cubin: bytes, name: str) -> list[int] | None:
        """The attributes of a kernel; None when the cubin does not load or has none of the name."""
        key = (cubin, name)
        if key not in self._attributes:
            module = self._module(cubin)
            function = module and modules.function_of(self._driver, module, name)
            self._attributes[key] = attributes_of(self._driver, function) if function else None
        return self._attributes[key]

    def contents(self, cubin: bytes, names: Collection[str]) -> dict[str, bytes]:
        """What variables hold at first, by name; those that the cubin has not are left out.

        Args:
            names: the same for every question about a cubin.
        """
        if cubin not in self._contents:
            module = self._module(cubin)
            places = places_of(self._driver, module, names) if module else []
            self._contents[cubin] = contents_of(self._driver, places)
        return self._contents[cubin]

    def _module(self, cubin: bytes) -> int | None:
        if cubin not in self._modules:
            try:
                self._modules[cubin] = modules.load(self._driver, cubin)
            except DriverError:
                self._modules[cubin] = None
        return self._modules[cubin]


def attributes_of(driver: Driver, function: int) -> list[int]:
    """The attributes of a function that follow from its code."""
    return [modules.attribute(driver, function, number) for number in ATTRIBUTES]
