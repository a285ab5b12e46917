"""Pairs of float4 are unpacked to the numbers that they are."""

import pytest
import torch

from kernel_harness.tools.judge.numerics.packed import FLOAT4_PAIRS, MAGNITUDES, unpacked


def test_every_byte_is_two_numbers_the_lower_bits_first():
    pairs = torch.arange(256, dtype=torch.uint8).view(16, 16).view(FLOAT4_PAIRS)
    found = unpacked(pairs)
    assert found.shape == (16, 32) and found.dtype == torch.float8_e4m3fn
    numbers = [*MAGNITUDES, *(-m for m in MAGNITUDES)]
    due = [numbers[part] for byte in range(256) for part in (byte & 15, byte >> 4)]
    assert found.float().flatten().tolist() == due
    assert torch.signbit(found.float()[0, 16]) == torch.signbit(torch.tensor(-0.0))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float8_e4m3fn, torch.float64])
def test_other_tensors_are_left_as_they_are(dtype):
    tensor = torch.zeros(3, dtype=dtype)
    assert unpacked(tensor) is tensor
