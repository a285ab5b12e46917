"""A candidate is told of a device that is not here what the table of devices says of it."""

from __future__ import annotations

import pytest

from kernel_harness.tools.devices.hardware import architectures
from kernel_harness.tools.judge.processes.device import FAKE_TARGET, device_facts


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
def test_shared_memory_of_a_target_is_that_of_the_table(target):
    facts = device_facts(target)
    assert facts.shared_bytes_per_block == architectures()[target].shared_bytes_per_block
    assert facts.capability == int(target.removeprefix("sm_"))


def test_a_target_that_the_table_lacks_grants_what_the_fake_device_does():
    unknown, fake = device_facts("sm_75"), device_facts(FAKE_TARGET)
    assert unknown.capability == 75
    assert unknown.model_copy(update={"capability": 90}) == fake
