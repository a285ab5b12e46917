"""What the driver says of an address, in words and figures."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_harness.tools.driver.library import (
    INVALID_VALUE,
    DriverError,
    allocation_of,
    memory_type,
)

from .fakes import FakeDriver, give


class PointerDriver(FakeDriver):
    """Knows addresses from 0x1000 to 0x2000."""

    def __init__(self, kind: int = 2, *, managed: bool = False) -> None:
        super().__init__()
        self.attributes = {2: kind, 8: int(managed), 11: 0x1000, 12: 0x1000}

    def _cuPointerGetAttribute(self, value: Any, number: Any, address: Any) -> None:
        if not 0x1000 <= address.value < 0x2000:
            raise DriverError("cuPointerGetAttribute", INVALID_VALUE)
        give(value, self.attributes[number.value])


@pytest.mark.parametrize(
    ("kind", "words"), [(1, "host"), (2, "device"), (3, "array"), (7, "memory type 7")]
)
def test_memory_is_named_by_its_type(kind, words):
    assert memory_type(PointerDriver(kind), 0x1800) == words


@pytest.mark.parametrize("kind", [1, 2])
def test_managed_memory_is_managed_wherever_it_lies_now(kind):
    assert memory_type(PointerDriver(kind, managed=True), 0x1800) == "managed"


def test_a_number_is_no_memory():
    assert memory_type(PointerDriver(), 0x3000) is None


def test_an_allocation_is_found_from_any_address_in_it():
    assert allocation_of(PointerDriver(), 0x1FFF) == (0x1000, 0x1000)
