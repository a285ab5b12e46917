"""Sampling: regimes cover every workload once, the sample stands for all, and says how well."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.workloads.operators import Operator
from kernel_harness.tools.workloads.regimes import ShapeSample, sample_shapes

from .conftest import Write, make_operator

CASES = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 4), st.floats(0.5, 2000.0)),
    min_size=1,
    max_size=30,
)


def operator_of(case: list[tuple[int, int, float]]) -> tuple[Operator, dict[str, float]]:
    operator = make_operator([(rows, pages) for rows, pages, _ in case])
    return operator, {w.uuid: us for w, (_, _, us) in zip(operator.workloads, case, strict=True)}


def estimate(sample: ShapeSample, latencies: dict[str, float]) -> float:
    return math.fsum(weight * latencies[uuid] for uuid, weight in sample.weights.items())


def mean_of(latencies: dict[str, float]) -> float:
    return math.fsum(latencies.values()) / len(latencies)


@given(CASES, st.integers(1, 10))
def test_every_workload_is_in_one_regime_and_the_sample_adds_up_to_what_is_known(
    case: list[tuple[int, int, float]], most: int
) -> None:
    operator, latencies = operator_of(case)
    sample = sample_shapes(operator, latencies, most)
    members = [uuid for regime in sample.regimes for uuid in regime.members]
    assert sorted(members) == sorted(latencies)
    assert len({regime.name for regime in sample.regimes}) == len(sample.regimes)
    assert len(sample.weights) <= most
    assert min(sample.weights.values()) > 0
    assert math.fsum(r.latency_share for r in sample.regimes) == pytest.approx(1.0)
    for regime in sample.regimes:
        assert regime.representative in regime.members
        assert regime.representative in sample.weights
        for uuid in regime.members:
            axes = operator.workload(uuid).axes
            assert all(low <= axes[name] <= high for name, (low, high) in regime.axes.items())
    assert estimate(sample, latencies) == pytest.approx(mean_of(latencies))


@given(CASES, st.randoms(use_true_random=False))
def test_the_order_of_workloads_does_not_matter(
    case: list[tuple[int, int, float]], shuffle: object
) -> None:
    operator, latencies = operator_of(case)
    turned = replace(operator, workloads=operator.workloads[::-1])
    first, second = (sample_shapes(o, latencies) for o in (operator, turned))
    assert first.regimes == second.regimes
    assert first.weights == second.weights


@given(CASES)
def test_a_sample_of_everything_is_exact(case: list[tuple[int, int, float]]) -> None:
    operator, _ = operator_of(case)
    alike = {w.uuid: 7.0 for w in operator.workloads}
    sample = sample_shapes(operator, alike)
    assert math.fsum(sample.weights.values()) == pytest.approx(1.0)
    assert [regime.kind for regime in sample.regimes] == ["whole"]


def test_one_workload_stands_for_itself() -> None:
    sample = sample_shapes(make_operator([(4, 1)]), {"w0000": 3.0})
    (regime,) = sample.regimes
    assert (regime.kind, regime.name, regime.latency_share) == ("whole", "all workloads", 1.0)
    assert sample.weights == {"w0000": 1.0}


def test_no_workloads_give_no_regimes() -> None:
    sample = sample_shapes(make_operator([]))
    assert (sample.regimes, sample.weights, sample.expected_error) == ([], {}, None)
    assert "no workloads" in sample.why


def test_without_a_varying_axis_there_is_one_regime() -> None:
    operator = make_operator([(4, 1)] * 9)
    latencies = {w.uuid: 1.0 + position for position, w in enumerate(operator.workloads)}
    sample = sample_shapes(operator, latencies)
    (regime,) = sample.regimes
    assert regime.kind == "whole"
    assert latencies[regime.representative] == 5.0
    assert "no axis varies" in sample.why


def test_bands_carry_the_names_and_ranges_of_their_axes() -> None:
    sizes = [(rows, 7) for rows in (1, 2, 3, 64, 65, 66)]
    sample = sample_shapes(make_operator(sizes, [2.0, 2.1, 2.2, 20.0, 20.5, 21.0]))
    assert [regime.name for regime in sample.regimes] == ["rows 1-3", "rows 64-66"]
    assert sample.regimes[1].axes == {"rows": (64, 66)}
    assert sample.regime_of("w0004") == "rows 64-66"
    assert sample.regime_of("nobody") is None


def test_a_workload_with_a_third_of_all_latency_is_a_regime_of_its_own() -> None:
    sizes = [(rows, 1) for rows in range(1, 11)]
    latencies = [10.0] * 9 + [90.0]
    sample = sample_shapes(make_operator(sizes, latencies))
    outlier = sample.regimes[-1]
    assert (outlier.kind, outlier.members, outlier.name) == (
        "outlier",
        ["w0009"],
        "outlier rows 10",
    )
    assert outlier.latency_share == pytest.approx(0.5)
    assert sample.weights["w0009"] == pytest.approx(0.1)


def test_a_tiny_band_with_a_third_of_all_latency_is_an_outlier() -> None:
    sizes = [(rows, 1) for rows in range(1, 21)]
    sample = sample_shapes(make_operator(sizes, [1.0] * 18 + [10.0, 10.0]))
    assert [regime.kind for regime in sample.regimes] == ["band", "outlier"]
    assert sample.regimes[1].members == ["w0018", "w0019"]


def test_two_workloads_are_no_outliers_for_having_half_each() -> None:
    sample = sample_shapes(make_operator([(1, 1), (2, 1)], [5.0, 5.0]))
    assert {regime.kind for regime in sample.regimes} == {"whole"}


def test_the_heaviest_and_a_boundary_workload_are_sampled_where_there_is_room() -> None:
    sizes = [(rows, 1) for rows in range(1, 41)]
    latencies = [1.0 + 0.01 * r if r <= 20 else 4.0 + 0.01 * r for r, _ in sizes]
    operator = make_operator(sizes, latencies)
    roomy = sample_shapes(operator, max_samples=8)
    assert {"w0039", "w0020"} <= set(roomy.weights)
    tight = sample_shapes(operator, max_samples=2)
    assert set(tight.weights) == {regime.representative for regime in tight.regimes}


def test_measured_latencies_come_before_published_ones() -> None:
    operator = make_operator([(rows, 1) for rows in range(8)], [1.0] * 8, published_device="B200")
    published = sample_shapes(operator)
    assert (published.basis, published.regimes[0].kind) == ("published", "whole")
    assert "8 published for B200" in published.why
    measured = sample_shapes(
        operator, {w.uuid: 9.0 if w.axes["rows"] > 2 else 1.0 for w in operator.workloads}
    )
    assert measured.basis == "measured"
    assert [len(regime.members) for regime in measured.regimes] == [3, 5]


def test_missing_latencies_are_filled_in_to_scale_and_the_basis_says_so() -> None:
    operator = make_operator([(rows, 1) for rows in range(6)], [1.0] * 2 + [10.0] * 4)
    sample = sample_shapes(operator, {"w0000": 100.0, "w0002": 1000.0})
    assert sample.basis == "published"
    assert "2 measured and 4 published" in sample.why
    assert [len(regime.members) for regime in sample.regimes] == [2, 4]
    assert sample.regimes[0].latency_share == pytest.approx(200 / 4200)


@pytest.mark.parametrize("useless", [math.nan, math.inf, 0.0, -1.0])
def test_a_latency_that_is_none_counts_as_missing(useless: float) -> None:
    operator = make_operator([(1, 1), (2, 1)], [3.0, 3.0])
    assert sample_shapes(operator, {"w0000": useless, "w0001": 3.0}).basis == "published"


def test_without_any_latency_the_floors_stand_in_and_the_error_is_not_claimed() -> None:
    sizes = [(rows, 1) for rows in (1, 1, 1, 1 << 22, 1 << 22, 1 << 22)]
    sample = sample_shapes(make_operator(sizes))
    assert (sample.basis, sample.expected_error) == ("estimated", None)
    assert [len(regime.members) for regime in sample.regimes] == [3, 3]
    assert "floor of H200" in sample.why and "not known" in sample.why


def test_a_broken_cost_model_does_not_keep_workloads_from_being_sampled(
    write_operator: Write,
) -> None:
    from kernel_harness.tools.workloads.dataset import Dataset

    kernels = write_operator(cost__py="def cost(axes, **_): return 1 / 0")
    sample = sample_shapes(Dataset.load(kernels).operators["scale_rows"])
    assert sample.basis == "estimated"
    assert "cost model failed" in sample.why
    assert set(sample.weights) == {"w-a", "w-b"}


def test_noise_of_a_per_cent_does_not_move_the_regimes() -> None:
    sizes = [(rows, 1) for rows in (1, 2, 3, 4, 16, 17, 18, 19, 64, 65, 66, 67)]
    levels = [2.0] * 4 + [5.0] * 4 + [12.0] * 4
    jitter = [1 + 0.01 * ((7 * k) % 5 - 2) for k in range(12)]
    calm = sample_shapes(make_operator(sizes, levels))
    shaken = sample_shapes(
        make_operator(sizes, [level * j for level, j in zip(levels, jitter, strict=True)])
    )
    assert [r.members for r in calm.regimes] == [r.members for r in shaken.regimes]


def test_samples_made_from_two_measurements_rank_a_third_alike() -> None:
    operator = make_operator([(rows, 1) for rows in range(1, 65)])
    growing = {w.uuid: 2.0 + 0.3 * w.axes["rows"] for w in operator.workloads}
    bent = {w.uuid: 2.5 + 0.25 * w.axes["rows"] for w in operator.workloads}
    ranked = {uuid: 0.8 * us for uuid, us in growing.items()}
    samples = [sample_shapes(operator, known) for known in (growing, bent)]
    assert samples[0].weights != samples[1].weights
    for sample in samples:
        assert estimate(sample, ranked) == pytest.approx(mean_of(ranked), rel=0.02)


def test_the_error_is_told_on_latencies_that_the_weights_were_not_made_from() -> None:
    operator = make_operator([(rows, 1) for rows in range(1, 41)], [float(r) for r in range(1, 41)])
    published = dict(operator.published)
    squared = {uuid: us * us for uuid, us in published.items()}
    sample = sample_shapes(operator, squared)
    assert sample.basis == "measured"
    told = estimate(sample, published) / mean_of(published) - 1
    assert abs(told) > 0.001
    assert sample.expected_error == pytest.approx(told)
