"""Memory that the judge keeps unused is given back where other processes may need it."""

import weakref

import pytest
import torch

from kernel_harness.tools.judge.calls.device_memory import free_for


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


def test_tensors_in_a_cycle_are_freed_first(monkeypatch, given_back):
    held = torch.zeros(4)
    cycle: list[object] = [held]
    cycle.append(cycle)
    tensor = weakref.ref(held)
    del cycle, held
    with_free(monkeypatch, 1 << 30)
    free_for(1, 0)
    assert tensor() is None and given_back == [1]
