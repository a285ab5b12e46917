"""Gives back device memory that the judge keeps unused, before other processes need it.

The processes of a trial share one device. Torch keeps what it freed, and gives it back only where
an allocation of its own process fails: another's fails first.
"""

from __future__ import annotations

import gc

import torch

FREE_SHARE = 0.25
"""Of a device's memory, left to candidates and runners: copies of a call's tensors and scratch."""

COPIES = 4
"""Of a call's inputs, in the judge and the process that is called first: with what comes out."""


def free_for(nbytes: int, device_index: int) -> None:
    """Gives back the device memory that this process keeps unused, unless enough is free without.

    Tensors that only cycles of objects hold are freed before.
    """
    free, total = torch.cuda.mem_get_info(device_index)
    if free < nbytes + FREE_SHARE * total:
        gc.collect()
        torch.cuda.empty_cache()


def little_is_free(device: torch.device, input_bytes: int = 0) -> bool:
    """Whether less of the device's memory is free than is to be left to candidates and runners.

    Args:
        input_bytes: of a call that is to be made, beside that.
    """
    if device.type != "cuda":
        return False
    nbytes = COPIES * input_bytes
    free_for(nbytes, device.index or 0)
    free, total = torch.cuda.mem_get_info(device)
    return free < nbytes + FREE_SHARE * total
