"""What random words become: uniform and normal values, and normal values in e4m3.

Everything is a table and float32 products and sums in a fixed order, each rounded by itself, so
that every device gives the same bits. No logarithm, root or sine is computed where values are
drawn: those of two devices differ in the last bit. The tables are computed in double precision.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray

OCTAVES, SEGMENTS = 32, 32
QUANTILES = 1 << 16
E4M3_MAX = 448.0
FRACTION = 2.0**-24
_NORMAL = NormalDist()
_EXPONENT_OF_32_BITS = 1023 + 31
"""Of a double whose integer part has 32 bits."""


@lru_cache(maxsize=1)
def normal_coefficients() -> NDArray[np.float32]:
    """Cubic polynomials of the normal distribution's quantile function, [1024, 4].

    They give its upper half by the tail u in (0, 1): octave k holds 2^-(k+1) ≤ u < 2^-k, in 32
    segments of equal width; in each the cubic has the function's values and slopes at both ends.
    """
    rows = []
    for octave in range(OCTAVES):
        lowest = 2.0 ** -(octave + 1)
        width = lowest / SEGMENTS
        ends = [_quantile(lowest + at * width) for at in range(SEGMENTS + 1)]
        for (z0, s0), (z1, s1) in zip(ends, ends[1:], strict=False):
            d0, d1, rise = s0 * width, s1 * width, z1 - z0
            rows.append((z0, d0, 3 * rise - 2 * d0 - d1, d0 + d1 - 2 * rise))
    return np.array(rows).astype(np.float32)


@lru_cache(maxsize=1)
def _columns() -> list[NDArray[np.float32]]:
    return [column.copy() for column in normal_coefficients().T]


def _quantile(tail: float) -> tuple[float, float]:
    """The value above which half of `tail` lies, and how fast it changes with the tail."""
    value = -_NORMAL.inv_cdf(tail / 2)
    return value, -0.5 / _NORMAL.pdf(value)


def uniform_values(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Values in [0, 1), multiples of 2^-24, one of each random word: its upper 24 bits."""
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(FRACTION)


def normal_values(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Standard normal values, one of each random word.

    The first bit is the sign; the 31 others and a one behind them are the tail, whose leading zeros
    choose the octave, the five bits after its first one the segment, and 24 more the place in it.
    """
    tail = (words << np.uint32(1)) | np.uint32(1)
    exponent = (tail.astype(np.float64).view(np.uint64) >> np.uint64(52)).astype(np.uint32)
    zeros = np.uint32(_EXPONENT_OF_32_BITS) - exponent
    shifted = tail << zeros
    segment = (shifted >> np.uint32(26)) & np.uint32(SEGMENTS - 1)
    row = (zeros * np.uint32(SEGMENTS) + segment).astype(np.intp)
    place = ((shifted >> np.uint32(2)) & np.uint32(0xFFFFFF)).astype(np.float32)
    place *= np.float32(FRACTION)
    # Separate operations: a fused one would round once where these round twice.
    constant, *others = _columns()
    value = np.zeros_like(place)
    for column in reversed(others):
        value += column[row]
        value *= place
    value += constant[row]
    return np.where(words >> np.uint32(31), -value, value)


@lru_cache(maxsize=8)
def e4m3_quantiles(spread: float) -> NDArray[np.uint8]:
    """65,536 equally likely bytes: normal values in e4m3, saturated at the largest finite one.

    The second half is the first with the other sign.

    Args:
        spread: standard deviation.
    """
    half = QUANTILES // 2
    values = [spread * _NORMAL.inv_cdf(0.5 + (at + 0.5) / QUANTILES) for at in range(half)]
    upper = torch.tensor(values).clamp_max(E4M3_MAX).to(torch.float8_e4m3fn)
    bits = upper.view(torch.uint8).numpy()
    return np.concatenate((bits, bits | np.uint8(0x80)))
