"""Occupancy from the limits of a target, against worked examples and its own laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.devices.hardware import architectures
from kernel_harness.tools.devices.occupancy import theoretical_occupancy

H = architectures()["sm_90"]


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "blocks", "limit"),
    [
        (256, 32, 0, 8, "warps"),
        (256, 40, 0, 6, "registers"),
        (128, 128, 0, 4, "registers"),
        (384, 168, 216_000, 1, "shared_memory"),
        (32, 16, 0, 32, "blocks"),
        (128, 32, 100_000, 2, "shared_memory"),
        (128, 32, 233_000, 0, "shared_memory"),
        (2048, 32, 0, 0, "warps"),
        (128, 256, 0, 0, "registers"),
        (672, 48, 0, 1, "registers"),
    ],
)
def test_worked_examples_of_hopper_occupancy(threads, registers, shared, blocks, limit):
    got = theoretical_occupancy(H, threads=threads, registers=registers, shared_bytes=shared)
    assert (got.blocks, got.limit) == (blocks, limit)


@given(
    st.sampled_from(sorted(architectures())),
    st.integers(1, 1024),
    st.integers(0, 255),
    st.integers(0, 232_448),
)
def test_occupancy_stays_within_the_machine_and_falls_with_use(target, threads, registers, shared):
    limits = architectures()[target]
    got = theoretical_occupancy(limits, threads=threads, registers=registers, shared_bytes=shared)
    assert 0 <= got.fraction <= 1
    assert got.blocks == min(got.by_resource.values()) == got.by_resource[got.limit]
    more = theoretical_occupancy(
        limits, threads=threads, registers=min(255, registers + 8), shared_bytes=shared + 1024
    )
    assert more.blocks <= got.blocks
