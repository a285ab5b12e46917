"""The one table of devices and architectures, and what follows from it for a target."""

from __future__ import annotations

import pytest

from kernel_harness.tools.devices.hardware import (
    architecture_of,
    architectures,
    shipped_hardware,
    target_facts,
)


@pytest.mark.parametrize("target", ["sm_90", "sm_90a", "90a", "90", "9.0"])
def test_a_feature_suffix_does_not_change_the_limits(target):
    assert architecture_of(target) is architectures()["sm_90"]


def test_blackwell_is_found_by_its_two_part_capability():
    assert architecture_of("10.0") is architectures()["sm_100"]
    assert architecture_of("sm_100f") is architectures()["sm_100"]


@pytest.mark.parametrize("target", ["", "sm_", "gfx942", "sm_999"])
def test_an_unknown_target_has_no_limits(target):
    assert architecture_of(target) is None


@pytest.mark.parametrize("device", shipped_hardware().values(), ids=lambda device: device.name)
def test_every_device_is_of_an_architecture_in_the_table(device):
    found = architecture_of(device.arch)
    assert found is not None and found is architecture_of(device.compute_capability)


def test_a_target_has_the_facts_of_a_device_of_its_architecture():
    hopper, blackwell, ampere = (target_facts(t) for t in ("sm_90a", "sm_100a", "8.0"))
    assert hopper and blackwell and ampere
    assert (hopper.capability, hopper.sm_count, hopper.l2_bytes) == (90, 132, 50 << 20)
    assert (blackwell.sm_count, blackwell.shared_bytes_per_block) == (148, 232_448)
    assert (ampere.sm_count, ampere.shared_bytes_per_block) == (108, 166_912)
    assert (hopper.memory_clock_khz, hopper.threads_per_sm) == (2_619_000, 2048)


def test_a_target_without_a_device_takes_the_count_of_its_generation_or_of_hopper():
    younger, consumer = target_facts("sm_103"), target_facts("sm_120")
    assert younger and consumer
    assert (younger.capability, younger.sm_count) == (103, 148)
    assert (consumer.sm_count, consumer.shared_bytes_per_block) == (132, 101_376)
    assert target_facts("sm_999") is None
