"""Warms up the device in a prewarmed process.

A CUDA context, loading torch's kernels, CUPTI and Triton's driver cost most of a second, and none
of them depends on the candidate. They are made before any of its code or inputs is there, so that
the judge can have processes wait with them ready, each for one candidate.
"""

from __future__ import annotations

import contextlib

import torch

from .clock import Clock
from .cuda_clock import DeviceClock

try:
    from . import warm_up_kernel
except ImportError:  # without Triton, whose candidates then say so themselves
    warm_up_kernel = None


def warm_up(device_index: int, *, light: bool = False) -> Clock:
    """Makes the CUDA context of a device and loads all that a measured call needs.

    Args:
        light: leaves out what only a cold call needs; a recording would carry its buffers.

    Returns:
        The device's clock, rehearsed.
    """
    torch.cuda.set_device(device_index)
    torch.cuda.init()
    clock = DeviceClock(torch.device("cuda", device_index))
    if not light:
        clock.rehearse()
    with contextlib.suppress(Exception):
        assert warm_up_kernel is not None
        # A Triton that cannot compile here fails again, and with its own words, in the candidate.
        warm_up_kernel.launch(f"cuda:{device_index}")
    return clock
