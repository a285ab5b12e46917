"""Which device activities are a sample, without a device."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch._C._autograd import DeviceType

from kernel_harness.tools.judge.microbenchmarks.stopwatch import groups, is_separator

FILL = "void at::native::vectorized_elementwise_kernel<16, at::native::FillFunctor<unsigned char>>"
SPIN = "at::cuda::(anonymous namespace)::spin_kernel(long)"


def event(name: str, start: float, end: float, device: DeviceType = DeviceType.CUDA):
    span = SimpleNamespace(start=start, end=end)
    return SimpleNamespace(name=name, time_range=span, device_type=device)


@pytest.mark.parametrize("name", [FILL, SPIN, "Memset (Device)"])
def test_what_stands_between_samples_is_not_measured(name):
    assert is_separator(name)
    assert not is_separator("empty_kernel")


def test_samples_are_told_apart_by_what_stands_between_them():
    rows = [
        event(FILL, 0, 5),
        event("a", 10, 12),
        event("b", 14, 20),
        event("cudaLaunchKernel", 11, 19, DeviceType.CPU),
        event(FILL, 30, 35),
        event(SPIN, 36, 40),
        event("a", 41, 44),
    ]
    found = list(groups(SimpleNamespace(events=lambda: rows)))
    assert found == [[(10, 12), (14, 20)], [(41, 44)]]
