"""Timed calls and the interval that stops the sampling."""

from __future__ import annotations

import numpy as np
import pytest

from kernel_harness.tools.judge.timing.samples import (
    Samples,
    half_width,
    kernel_times,
    log_ratios,
    more_pairs,
)
from kernel_harness.tools.messages.launches import Activity


def samples(*cold: int) -> Samples:
    return Samples(spans_ns=list(cold))


def test_few_samples_bound_nothing():
    assert half_width(np.zeros(7)) == float("inf")


def test_more_samples_make_the_interval_narrower():
    rng = np.random.default_rng(2)
    assert half_width(rng.normal(size=400)) < half_width(rng.normal(size=20))


def test_as_many_more_are_wanted_as_make_the_interval_narrow():
    rng = np.random.default_rng(3)
    values = rng.normal(size=50)
    more = more_pairs(values, half_width(values) / 2)
    assert more == pytest.approx(150, abs=1)
    whole = [half_width(rng.normal(size=50 + more)) for _ in range(50)]
    assert np.median(whole) == pytest.approx(half_width(values) / 2, rel=0.35)
    assert more_pairs(values, half_width(values)) == 0
    assert more_pairs(values[:7], 0.1) == 0
    assert more_pairs(np.zeros(20), 0.0) == 0


def test_ratios_are_of_baseline_over_candidate():
    assert log_ratios(samples(100, 100), samples(200, 400)).tolist() == pytest.approx(
        [np.log(2), np.log(4)]
    )
    assert log_ratios(samples(100), samples()).tolist() == pytest.approx([np.log(100)])


def test_kernel_times_add_up_by_name_and_origin():
    def seen(name: str, spent: int, origin: str = "candidate") -> Activity:
        return Activity(name=name, start_ns=10, end_ns=10 + spent, origin=origin)

    found = kernel_times([[seen("a", 100), seen("b", 300, "torch")], [seen("a", 200)]])
    assert [(k.name, k.launches, k.share, k.origin) for k in found] == [
        ("a", 2, 0.5, "candidate"),
        ("b", 1, 0.5, "torch"),
    ]
    assert kernel_times([]) == []
