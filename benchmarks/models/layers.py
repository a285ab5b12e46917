"""Functions of the models beside: right, and each slow in a way that programs really are.

The norm takes its sums of squares from a whole product of the rows with one another, the gate makes
its sigmoid of a softmax over two in double precision, and the scale of channels is a product with a
diagonal matrix.
"""

from __future__ import annotations

import torch

EPS = 1e-6


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """RMS norm of rows, x of [tokens, hidden]."""
    wide = x.double()
    squares = (wide @ wide.t()).diagonal() / x.shape[-1]
    return (wide * torch.rsqrt(squares + EPS)[:, None] * weight.double()).to(x.dtype)


def silu_mul(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """The gate of an expert: silu(gate) * up."""
    wide = gate.double()
    sigmoid = torch.softmax(torch.stack((wide, torch.zeros_like(wide)), -1), -1)[..., 0]
    return (wide * sigmoid * up.double()).to(gate.dtype)


def scale_channels(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """A batch norm at inference: x * scale + shift for each channel, x of [n, channels, h, w]."""
    rows = x.double().permute(0, 2, 3, 1)
    scaled = rows @ torch.diag(scale.double()) + shift.double()
    return scaled.permute(0, 3, 1, 2).contiguous().to(x.dtype)
