"""Values have their distributions, depend on seed, name and number alone, and never repeat."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy
import torch

from kernel_harness.tools.judge.philox.generator import (
    PhiloxGenerator,
    TorchGenerator,
    random_values,
    usable_source,
)
from kernel_harness.tools.judge.philox.tables import e4m3_quantiles
from kernel_harness.tools.schema.drawn_inputs import InputSource, RandomGenerator

CPU = torch.device("cpu")
COUNT = 200_000
SEED = 0x1F_3141_5926_5358
RARE = 1e-6
"""Seeds are fixed: a test that passes always passes."""


def values(seed: int = SEED) -> PhiloxGenerator:
    return PhiloxGenerator(seed, CPU)


DRAWS = {
    "normal": lambda v, name="x", shape=(COUNT,): v.normal(name, shape),
    "uniform": lambda v, name="x", shape=(COUNT,): v.uniform(name, shape),
    "integers": lambda v, name="x", shape=(COUNT,): v.integers(name, -7, 90, shape),
    "e4m3": lambda v, name="x", shape=(COUNT,): v.normal_e4m3(name, shape, 100.0).float(),
}
each_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


@each_draw
def test_the_same_seed_name_and_number_give_the_same_values(draw):
    one, other = values(), values()
    other.normal("of another tensor", (5,))
    first = draw(one)
    assert torch.equal(first, draw(other)) and first.shape == (COUNT,)
    second = draw(one)
    assert not torch.equal(first, second) and torch.equal(second, draw(other))


@each_draw
def test_another_seed_or_name_gives_other_values(draw):
    drawn = [draw(values(seed), name) for seed in (SEED, SEED + 1) for name in ("x", "y")]
    for one, other in itertools.combinations(drawn, 2):
        assert float((one == other).float().mean()) < 0.06


@each_draw
@pytest.mark.parametrize("shape", [(0,), (), (1,), (3, 0, 2), (3, 5, 7), (32_769, 1)])
def test_any_shape_holds_the_beginning_of_the_stream(draw, shape):
    drawn = draw(values(), shape=shape)
    assert drawn.shape == shape and drawn.is_contiguous()
    whole = draw(values())[: drawn.numel()]
    assert torch.equal(drawn.flatten(), whole)


def test_normal_values_pass_for_normal_ones():
    drawn = values().normal("x", (COUNT,)).numpy()
    assert scipy.stats.kstest(drawn, scipy.stats.norm.cdf).pvalue > RARE
    for moment, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        spread = math.sqrt(variance / COUNT)
        assert abs(np.mean(drawn.astype(np.float64) ** moment) - expected) < 5 * spread
    assert len(np.unique(drawn)) > 0.995 * COUNT, "almost no two are the same"


def test_uniform_values_and_integers_are_even():
    drawn = values()
    uniform = drawn.uniform("x", (COUNT,)).numpy()
    assert (
        uniform.min() >= 0
        and uniform.max() < 1
        and scipy.stats.kstest(uniform, "uniform").pvalue > RARE
    )
    integers = drawn.integers("i", -7, 90, (COUNT,)).numpy()
    counts = np.bincount(integers + 7, minlength=97)
    assert len(counts) == 97 and counts.min() > 0
    distance = float(((counts - COUNT / 97) ** 2 / (COUNT / 97)).sum())
    assert scipy.stats.chi2.sf(distance, 96) > RARE


def test_integers_of_large_ranges_reach_both_ends():
    drawn = values().integers("x", -(2**30), 2**30, (COUNT,))
    assert -(2**30) <= int(drawn.min()) < -0.9999 * 2**30
    assert 0.9999 * 2**30 < int(drawn.max()) < 2**30


def test_e4m3_values_have_the_frequencies_of_their_table():
    drawn = values().normal_e4m3("w", (COUNT,), 448 / 4.2).view(torch.uint8).numpy()
    expected = np.bincount(e4m3_quantiles(448 / 4.2), minlength=256) * COUNT / 65_536
    common = expected > 20
    counts = np.bincount(drawn, minlength=256)
    distance = ((counts - expected)[common] ** 2 / expected[common]).sum()
    assert scipy.stats.chi2.sf(float(distance), common.sum() - 1) > RARE
    assert counts[expected == 0].sum() == 0


def test_streams_and_neighbours_are_not_correlated():
    drawn = values()
    streams = [drawn.normal(name, (COUNT,)) for name in ("a", "b", "a")]
    streams.append(values(SEED + 1).normal("a", (COUNT,)))
    for one, other in itertools.combinations(streams, 2):
        assert abs(float((one * other).mean())) < 5 / math.sqrt(COUNT)
    for lag in (1, 2, 3, 4, 8, 128, 7168):
        moved = streams[0].roll(lag)
        assert abs(float((streams[0] * moved).mean())) < 5 / math.sqrt(COUNT)


def test_every_bit_is_set_in_half_of_the_words():
    words = values().integers("x", 0, 1 << 31, (COUNT,))
    for bit in range(31):
        share = float((words >> bit & 1).float().mean())
        assert abs(share - 0.5) < 5 * 0.5 / math.sqrt(COUNT), bit


def test_no_row_of_a_weight_repeats_another():
    rows = values().normal_e4m3("w", (2_000, 128), 100.0).view(torch.uint8)
    assert rows.unique(dim=0).shape[0] == 2_000


def test_torch_s_generator_gives_what_records_from_before_were_made_of():
    drawn = random_values(RandomGenerator.TORCH, 5, CPU)
    assert isinstance(drawn, TorchGenerator)
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(drawn.normal("x", (3, 4)), torch.randn(3, 4, generator=generator))
    assert torch.equal(drawn.uniform("x", (5,)), torch.rand(5, generator=generator))
    assert torch.equal(
        drawn.integers("y", -3, 9, (8,)), torch.randint(-3, 9, (8,), generator=generator)
    )


def test_without_a_gpu_the_definition_itself_is_used():
    assert usable_source(CPU) == InputSource(generator=RandomGenerator.PHILOX)
    drawn = random_values(RandomGenerator.PHILOX, SEED, CPU)
    assert torch.equal(drawn.normal("x", (9,)), values().normal("x", (9,)))
