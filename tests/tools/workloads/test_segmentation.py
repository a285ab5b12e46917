"""The arithmetic of regimes: rank correlation, the choice of axes, and where bands part."""

from __future__ import annotations

import itertools
import math
import random
import time

import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.workloads.segmentation import order_by_axes, ranks, spearman, split

VALUES = st.lists(st.integers(-5, 5), min_size=2, max_size=30)


@given(VALUES, st.randoms(use_true_random=False))
def test_rank_correlation_agrees_with_scipy(left: list[int], shuffle: random.Random) -> None:
    right = left[:]
    shuffle.shuffle(right)
    if len(set(left)) == 1:
        assert spearman(left, right) == 0.0
    else:
        expected = scipy.stats.spearmanr(left, right)[0]
        assert spearman(left, right) == pytest.approx(expected, abs=1e-9)


@given(VALUES)
def test_ranks_agree_with_scipy(values: list[int]) -> None:
    expected = [(rank - 1) / (len(values) - 1) for rank in scipy.stats.rankdata(values)]
    assert ranks(values) == pytest.approx(expected)


def test_the_axis_that_latency_follows_is_chosen() -> None:
    columns = {"still": [4] * 6, "noise": [3, 1, 2, 3, 1, 2], "size": [1, 2, 3, 4, 5, 6]}
    order = order_by_axes(columns, [10, 20, 30, 40, 50, 60])
    assert order.axes == ("size",)
    assert order.correlation == pytest.approx(1.0)


def test_an_axis_that_repeats_another_is_left_out() -> None:
    sizes = [1, 5, 2, 9, 4, 7]
    order = order_by_axes(
        {"a": sizes, "a_plus_one": [s + 1 for s in sizes]}, [float(s) for s in sizes]
    )
    assert order.axes == ("a",)


def test_axes_that_matter_together_are_coupled() -> None:
    grid = list(itertools.product([1, 4, 16, 64], [32, 256, 2048, 16384]))
    batch, length = [b for b, _ in grid], [n for _, n in grid]
    order = order_by_axes({"batch": batch, "length": length}, [float(b * n) for b, n in grid])
    assert set(order.axes) == {"batch", "length"}
    assert order.correlation > 0.95


def test_an_axis_that_makes_things_faster_is_followed_downwards() -> None:
    order = order_by_axes({"threads": [1, 2, 4, 8]}, [8.0, 4.0, 2.0, 1.0])
    assert order.correlation == pytest.approx(-1.0)


def test_without_a_varying_axis_nothing_is_ordered() -> None:
    order = order_by_axes({"a": [3, 3, 3]}, [1.0, 2.0, 3.0])
    assert (order.axes, set(order.keys), order.correlation) == ((), {0.0}, 0.0)


def test_bands_part_where_the_level_changes() -> None:
    keys = [float(k) for k in range(30)]
    values = [0.0] * 10 + [1.0] * 5 + [3.0] * 15
    assert [len(band) for band in split(keys, values, 6)] == [10, 5, 15]


def test_noise_makes_no_band() -> None:
    chance = random.Random(3)
    keys = [float(k) for k in range(60)]
    values = [chance.gauss(0.0, 0.05) for _ in keys]
    assert len(split(keys, values, 6)) == 1


def test_a_step_among_few_workloads_is_seen() -> None:
    assert split([1.0, 2.0, 3.0], [0.0, 0.0, 2.0], 3) == [[0, 1], [2]]
    assert split([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0] * 2 + [2.0] * 4, 3) == [[0, 1], [2, 3, 4, 5]]


def test_workloads_of_equal_key_stay_together() -> None:
    assert split([1.0] * 6, [0.0, 9.0, 0.0, 9.0, 0.0, 9.0], 4) == [[0, 1, 2, 3, 4, 5]]


@given(
    st.lists(st.tuples(st.integers(0, 8), st.floats(-5, 5)), min_size=1, max_size=25),
    st.integers(1, 5),
)
def test_bands_are_a_partition_in_ascending_order(
    points: list[tuple[int, float]], most: int
) -> None:
    keys, values = [float(k) for k, _ in points], [v for _, v in points]
    bands = split(keys, values, most)
    assert 1 <= len(bands) <= most
    assert sorted(place for band in bands for place in band) == list(range(len(points)))
    for below, above in itertools.pairwise(bands):
        assert max(keys[p] for p in below) < min(keys[p] for p in above)


@given(
    st.lists(st.floats(-3, 3), min_size=2, max_size=9),
    st.integers(1, 3),
)
def test_the_split_is_the_best_of_all_of_its_size(values: list[float], most: int) -> None:
    keys = [float(k) for k in range(len(values))]
    bands = split(keys, values, most)

    def scatter(parts: list[list[int]]) -> float:
        means = [math.fsum(values[p] for p in part) / len(part) for part in parts]
        return math.fsum(
            (values[p] - mean) ** 2 for part, mean in zip(parts, means, strict=True) for p in part
        )

    every = list(range(len(values)))
    best = min(
        scatter([every[a:b] for a, b in itertools.pairwise((0, *cuts, len(values)))])
        for cuts in itertools.combinations(range(1, len(values)), len(bands) - 1)
    )
    assert scatter(bands) == pytest.approx(best, abs=1e-9)


def test_thousands_of_workloads_are_split_without_a_wait() -> None:
    keys = [float(k) for k in range(5000)]
    began = time.process_time()
    bands = split(keys, [float(k // 1000) for k in keys], 6)
    assert [len(band) for band in bands] == pytest.approx([1000] * 5, abs=13)
    assert time.process_time() - began < 5.0
