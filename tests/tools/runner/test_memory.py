"""Regions are covered by whole granules, each mapped once."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.messages.launch_plan import ARENA_BASE, RESERVATION_BASE, MemoryRegion
from kernel_harness.tools.runner.memory import LITTLE_BYTES, RunnerMemory, covered

from ..driver.fakes import FakeDriver

GRANULE = 2 << 20
regions = st.lists(
    st.builds(
        MemoryRegion,
        address=st.integers(0, 64 << 20).map(lambda n: RESERVATION_BASE + n * 512),
        nbytes=st.integers(1, 8 << 20),
    ),
    max_size=20,
)


@given(regions)
def test_granules_cover_every_region_and_never_overlap(found):
    ranges = covered(found, GRANULE)
    assert all(begin % GRANULE == end % GRANULE == 0 for begin, end in ranges)
    assert all(a[1] < b[0] for a, b in zip(ranges, ranges[1:], strict=False))
    for region in found:
        end = region.address + region.nbytes
        assert any(a <= region.address and end <= b for a, b in ranges)


def test_shared_memory_is_mapped_where_it_may_lie_and_its_descriptor_is_closed():
    memory = RunnerMemory(FakeDriver(), 0)
    fd = os.memfd_create("test")
    assert memory.map(fd, GRANULE, ARENA_BASE) == ARENA_BASE
    assert memory.holds(ARENA_BASE + 1, GRANULE - 1)
    assert not memory.holds(ARENA_BASE + 1, GRANULE)
    with pytest.raises(OSError):
        os.fstat(fd)
    with pytest.raises(ValueError, match="not in the part"):
        memory.map(os.memfd_create("test"), GRANULE, RESERVATION_BASE)


def test_the_scratch_of_a_second_plan_replaces_that_of_the_first():
    driver = FakeDriver()
    memory = RunnerMemory(driver, 0)
    region = MemoryRegion(address=RESERVATION_BASE, nbytes=512)
    memory.map_scratch([region])
    assert memory.map_scratch([region]) == [(RESERVATION_BASE, RESERVATION_BASE + GRANULE)]
    assert "cuMemUnmap" not in driver.names(), "it lies where the first one lay"
    larger = MemoryRegion(address=RESERVATION_BASE, nbytes=GRANULE + 512)
    memory.map_scratch([larger])
    assert driver.names().count("cuMemUnmap") == 1
    assert driver.names().count("cuMemRelease") == 1
    assert memory.holds(RESERVATION_BASE, GRANULE + 512)
    memory.map_scratch([])
    assert not memory.holds(RESERVATION_BASE, 512)


def test_places_that_lie_near_each_other_in_mapped_memory_are_one_stretch():
    memory = RunnerMemory(FakeDriver(), 0)
    memory.map(os.memfd_create("test"), 8 * GRANULE, ARENA_BASE)
    memory.map_scratch([MemoryRegion(address=RESERVATION_BASE, nbytes=512)])
    end = RESERVATION_BASE + GRANULE
    far = ARENA_BASE + 4096 + 512 + LITTLE_BYTES + 1
    places = [(far, 64), (ARENA_BASE + 4096, 512), (ARENA_BASE, 256), (end - 512, 512), (end, 64)]
    assert memory.joined(places) == [
        (end - 512, 512),
        (end, 64),  # it is not mapped
        (ARENA_BASE, 4096 + 512),
        (far, 64),
    ]
    assert memory.joined([(ARENA_BASE, 4096), (ARENA_BASE + 512, 64)]) == [(ARENA_BASE, 4096)]
    assert memory.joined([]) == []
