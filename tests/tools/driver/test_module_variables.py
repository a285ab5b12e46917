"""Variables side by side are read by one copy, and each keeps its own bytes."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.driver.library import Driver, DriverError
from kernel_harness.tools.driver.module_variables import (
    MOST_GAP_BYTES,
    VariablePlace,
    contents_of,
    joined,
    read_stretches,
)

from .fakes import FakeDriver

BASE = 0x7F00
MEMORY = bytes(range(256)) * 16


class Memory(FakeDriver):
    """A driver whose memory from `BASE` on holds `MEMORY`."""

    def _cuMemcpyDtoH_v2(self, buffer: Any, address: Any, nbytes: Any) -> None:
        begin = address.value - BASE
        ctypes.memmove(buffer, MEMORY[begin : begin + nbytes.value], nbytes.value)


def laid_out(sizes: list[tuple[int, int]]) -> list[VariablePlace]:
    """Variables one after another, each with a gap before it."""
    found, at = [], BASE
    for number, (gap, nbytes) in enumerate(sizes):
        at += gap
        found.append(VariablePlace(str(number), at, nbytes))
        at += nbytes
    return found


LAYOUTS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 40)), max_size=20)


@given(LAYOUTS, st.randoms(use_true_random=False))
def test_each_variable_has_the_bytes_at_its_address(sizes, shuffle):
    places = laid_out(sizes)
    shuffle.shuffle(places)
    driver: Driver = Memory()
    assert contents_of(driver, places) == {
        place.name: MEMORY[place.address - BASE :][: place.nbytes] for place in places
    }


@given(LAYOUTS)
def test_only_a_large_gap_parts_two_stretches(sizes):
    stretches = joined(laid_out(sizes))
    gaps = [gap for gap, _ in sizes[1:]]
    assert len(stretches) == (1 + sum(gap > MOST_GAP_BYTES for gap in gaps) if sizes else 0)


def test_thousands_of_bytes_side_by_side_are_one_copy():
    driver = Memory()
    contents_of(driver, laid_out([(0, 1)] * 3_000))
    assert driver.names() == ["cuMemcpyDtoH_v2"]


def test_other_bytes_of_a_variable_change_nothing_around_it():
    places = laid_out([(0, 4), (4, 4), (0, 4)])
    (stretch,) = read_stretches(Memory(), places)
    other = stretch.with_bytes(places[1], b"abcd")
    assert other.address == stretch.address
    assert [other.bytes_of(p) for p in places] == [MEMORY[:4], b"abcd", MEMORY[12:16]]
    assert other.content[4:8] == MEMORY[4:8]


class TwoBanks(Memory):
    """A driver that refuses a copy across one address, as between constants and globals."""

    def __init__(self, border: int) -> None:
        super().__init__()
        self.border = border

    def _cuMemcpyDtoH_v2(self, buffer: Any, address: Any, nbytes: Any) -> None:
        if address.value < self.border < address.value + nbytes.value:
            raise DriverError("cuMemcpyDtoH_v2", 1)
        super()._cuMemcpyDtoH_v2(buffer, address, nbytes)


@given(LAYOUTS.filter(bool), st.data())
def test_variables_of_two_banks_that_adjoin_are_read_all_the_same(sizes, data):
    places = laid_out(sizes)
    border = data.draw(st.sampled_from(places)).address
    found = contents_of(TwoBanks(border), places)
    assert found == contents_of(Memory(), places)


def test_a_variable_that_cannot_be_read_is_the_callers_to_hear_of():
    with pytest.raises(DriverError):
        contents_of(TwoBanks(BASE + 2), laid_out([(0, 4)]))
