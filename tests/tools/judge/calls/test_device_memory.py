"""Memory that the judge keeps unused is given back where other processes may need it."""

import os
import sys
import weakref
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

from kernel_harness.tools.judge.calls import shared_memory
from kernel_harness.tools.judge.calls.device_memory import free_for, little_is_free
from kernel_harness.tools.judge.calls.shared_memory import DeviceMemory


@pytest.fixture
def given_back(monkeypatch):
    calls: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append(1))
    return calls


def with_free(monkeypatch, free: int) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 141 << 30))


@pytest.mark.parametrize(("free", "times"), [(100 << 30, 0), (36 << 30, 1), (1 << 30, 1)])
def test_memory_that_torch_keeps_unused_is_given_back_where_little_is_free(
    monkeypatch, given_back, free, times
):
    with_free(monkeypatch, free)
    free_for(2 << 30, 0)
    assert len(given_back) == times


@pytest.mark.parametrize(("inputs_gib", "little"), [(0, False), (15, False), (17, True)])
def test_little_is_free_where_the_next_call_would_take_what_others_need(
    monkeypatch, given_back, inputs_gib, little
):
    with_free(monkeypatch, 100 << 30)
    assert little_is_free(torch.device("cuda", 0), inputs_gib << 30) == little
    assert not little_is_free(torch.device("cpu"), inputs_gib << 30)


def test_tensors_in_a_cycle_are_freed_first(monkeypatch, given_back):
    held = torch.zeros(4)
    cycle: list[object] = [held]
    cycle.append(cycle)
    tensor = weakref.ref(held)
    del cycle, held
    with_free(monkeypatch, 1 << 30)
    free_for(1, 0)
    assert tensor() is None and given_back == [1]


def test_shared_memory_waits_for_its_own_device_and_touches_no_other(monkeypatch):
    """A judge of the second device made a context on the first one, and waited for that."""
    driver: Any = MagicMock()
    for name in ("MemUnmap", "MemAddressFree", "MemRelease", "MemMap", "MemSetAccess"):
        getattr(driver, f"cu{name}").return_value = (0,)
    driver.cuMemGetAllocationGranularity.return_value = (0, 1 << 21)
    driver.cuMemCreate.return_value = driver.cuMemAddressReserve.return_value = (0, 1 << 40)
    driver.cuMemExportToShareableHandle.return_value = (0, os.memfd_create("shared"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(driver=driver))
    monkeypatch.setattr(shared_memory, "free_for", lambda nbytes, device: None)
    monkeypatch.setattr(torch, "as_tensor", lambda array, device: torch.empty(0))
    waited: list[int | None] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: waited.append(device))
    memory = DeviceMemory(100, 1)
    memory.close()
    assert waited == [1, 1] and memory.nbytes == 1 << 21
