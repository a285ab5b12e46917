"""What outputs hold before a call: bit patterns, or bits drawn at random."""

from __future__ import annotations

import torch

from ..numerics.mismatch import BIT_VIEW
from ..numerics.packed import FLOAT4_PAIRS

POISONS: dict[torch.dtype, tuple[int, int]] = {
    torch.float64: (0x7FFCA5A5A5A5A5A5, 0x7E37E43C8800759C),
    torch.float32: (0x7FE5A5A5, 0x7149F2CA),
    torch.float16: (0x7EA5, 0x7BFF),
    torch.bfloat16: (0x7FE5, 0x7149),
    torch.float8_e4m3fn: (0x7F, 0x7E),
    torch.float8_e5m2: (0x7E, 0x7B),
    FLOAT4_PAIRS: (0xA5, 0x5A),
    torch.int64: (0xA5A5A5A5A5A5A5A5, 0x5A3C5A3C5A3C5A3C),
    torch.int32: (0xA5A5A5A5, 0x5A3C5A3C),
    torch.int16: (0xA5A5, 0x5A3C),
    torch.int8: (0xA5, 0x5A),
    torch.uint8: (0xA5, 0x5A),
    torch.bool: (0x01, 0x00),
}
"""Two bit patterns for outputs before a call: a NaN with a payload of ours, and a value near the
top of the range, so that neither an expected NaN nor an expected zero hides an unwritten one."""


def fill_bits(tensor: torch.Tensor, pattern: int) -> None:
    """Fills with an element of these bits."""
    bits = 8 * tensor.element_size()
    signed = pattern if bits == 8 or pattern < 1 << (bits - 1) else pattern - (1 << bits)
    if tensor.numel():
        tensor.view(BIT_VIEW[tensor.element_size()]).fill_(signed)


def wear(tensor: torch.Tensor) -> None:
    """Fills with bits drawn at random."""
    if tensor.numel():
        values = tensor.view(-1).view(BIT_VIEW[tensor.element_size()]).view(torch.uint8)
        values.random_(0, 2 if tensor.dtype == torch.bool else 256)
