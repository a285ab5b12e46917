"""Gives back device memory that the judge keeps unused, before other processes need it.

The processes of a trial share one device. Torch keeps what it freed, and gives it back only where
an allocation of its own process fails: another's fails first.
"""

from __future__ import annotations

import gc

import torch

FREE_SHARE = 0.25
"""Of a device's memory, left to candidates and runners: copies of a call's tensors and scratch."""


def free_for(nbytes: int, device_index: int) -> None:
    """Gives back the device memory that this process keeps unused, unless enough is free without.

    Tensors that only cycles of objects hold are freed before.
    """
    free, total = torch.cuda.mem_get_info(device_index)
    if free < nbytes + FREE_SHARE * total:
        gc.collect()
        torch.cuda.empty_cache()


def little_is_free(device: torch.device) -> bool:
    """Whether less of the device's memory is free than is to be left to candidates and runners."""
    if device.type != "cuda":
        return False
    free_for(0, device.index or 0)
    free, total = torch.cuda.mem_get_info(device)
    return free < FREE_SHARE * total
