"""Two float4 numbers in a byte, as numbers that can be compared."""

from __future__ import annotations

import torch

FLOAT4_PAIRS: torch.dtype = torch.float4_e2m1fn_x2
MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""By the three bits beside the sign: two of exponent and one of mantissa."""


def unpacked(tensor: torch.Tensor) -> torch.Tensor:
    """Pairs of float4 as float8_e4m3fn, which holds each exactly, twice as many in the last axis.

    The lower four bits come first. Tensors of any other type are returned as they are.
    """
    if tensor.dtype != FLOAT4_PAIRS:
        return tensor
    pairs = tensor.contiguous().view(torch.uint8)
    values = torch.tensor([*MAGNITUDES, *(-m for m in MAGNITUDES)], device=tensor.device)
    both = torch.stack([pairs & 15, pairs >> 4], dim=-1).int()
    return values[both].flatten(-2).to(torch.float8_e4m3fn)
