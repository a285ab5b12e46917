"""Words become what they are said to become, to the last bit and on any machine."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri

from kernel_harness.tools.judge.philox.blocks import blocks
from kernel_harness.tools.judge.philox.tables import (
    E4M3_MAX,
    e4m3_quantiles,
    normal_coefficients,
    normal_values,
)

WORDS = blocks(11, 0, np.arange(50_000, dtype=np.uint64)).reshape(-1)
EDGES = np.array(
    [0, 1, 2, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF], np.uint32
)


def tails(words: np.ndarray) -> np.ndarray:
    return ((words << np.uint32(1)) | np.uint32(1)) / 2**32


@pytest.mark.parametrize("words", [WORDS, EDGES])
def test_normal_values_are_quantiles_of_their_tails(words):
    values = normal_values(words)
    assert values.dtype == np.float32
    exact = -ndtri(tails(words) / 2)
    assert np.abs(np.abs(values) - exact).max() < 1e-6
    assert ((values < 0) == (words >> 31 == 1)).all()


def test_every_octave_and_segment_is_met_without_a_step():
    tail = np.unique(np.concatenate([(33 + at) << np.arange(26) for at in range(32)]))
    words = np.sort(np.concatenate([tail, tail - 1, tail + 1])).astype(np.uint32)
    values = normal_values(words[words < 2**31]).astype(np.float64)
    assert (np.diff(values) <= 2e-6).all(), "a larger tail is a smaller value"


def test_the_tables_are_the_same_on_every_machine():
    digests = [
        hashlib.sha256(table.tobytes()).hexdigest()[:16]
        for table in (normal_coefficients(), e4m3_quantiles(E4M3_MAX / 4.2), e4m3_quantiles(1.0))
    ]
    assert digests == ["f12ac763e97f08bd", "9b5276b0b2b8974a", "68b7d2bd21fa1be0"]


def test_e4m3_values_are_those_of_a_normal_distribution_rounded():
    spread = E4M3_MAX / 4.2
    bits = torch.from_numpy(e4m3_quantiles(spread))
    values = bits.view(torch.float8_e4m3fn).float()
    assert len(values) == 65_536 and bool(values.isfinite().all())
    assert float(values.max()) == E4M3_MAX and float(values.min()) == -E4M3_MAX
    assert float(values.mean()) == 0.0
    assert float(values.std()) == pytest.approx(spread, rel=2e-3)
    steps = torch.arange(0x7F, dtype=torch.uint8).view(torch.float8_e4m3fn).double()
    for low, value, high in zip(steps, steps[1:], steps[2:], strict=False):
        ends = [float(value + near) / 2 / spread for near in (low, high)]
        share = float(ndtr(ends[1]) - ndtr(ends[0]))
        assert abs(float((values == value).float().mean()) - share) <= 1.01 / 65_536


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e4])
def test_any_spread_has_a_table(spread):
    values = torch.from_numpy(e4m3_quantiles(spread)).view(torch.float8_e4m3fn).float()
    assert bool(values.isfinite().all()) and values.abs().max() <= E4M3_MAX
    assert math.isclose(float(values.mean()), 0.0, abs_tol=1e-9)
