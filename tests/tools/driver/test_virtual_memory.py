"""Reservations lie where they were asked for, or are refused."""

import pytest

from kernel_harness.tools.driver.virtual_memory import reserve
from kernel_harness.tools.errors import CapabilityError

from .fakes import FakeDriver


def test_a_reservation_elsewhere_is_given_back_and_refused():
    driver = FakeDriver()
    assert reserve(driver, 1 << 30, 0x1000_0000_0000) == 0x1000_0000_0000
    driver.reserved_elsewhere = True
    with pytest.raises(CapabilityError):
        reserve(driver, 1 << 30, 0x1000_0000_0000)
    assert driver.names()[-1] == "cuMemAddressFree"
