import math
import statistics

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.evaluation import comparison
from kernel_harness.tools.schema.evaluation import Status, WorkloadResult
from kernel_harness.tools.schema.measurement import Decision, Measurement, Objective


def measured(values_us, blocks=3, **more):
    values = [round(v * 1000) for v in values_us]
    per_block = math.ceil(len(values) / blocks)
    block = [i // per_block for i in range(len(values))]
    return Measurement(timer="cupti", cold_ns=values, block=block, **more)


def noisy(seed, middle_us, n=30, sigma=0.004):
    rng = np.random.default_rng(seed)
    return middle_us * np.exp(rng.normal(0, sigma, n))


def test_identical_kernels_are_rarely_told_apart():
    decisions = [
        comparison.compare(measured(noisy(s, 30)), measured(noisy(s + 9_000, 30)), {"1": 0.003})
        for s in range(100)
    ]
    told_apart = [d for d in decisions if d and d.decision in (Decision.FASTER, Decision.SLOWER)]
    assert len(told_apart) <= 2


def test_three_percent_is_found():
    found = [
        comparison.compare(measured(noisy(s, 30.9)), measured(noisy(s + 9_000, 30)), {"1": 0.003})
        for s in range(60)
    ]
    assert sum(d is not None and d.decision is Decision.FASTER for d in found) >= 57


def test_a_slower_candidate_is_called_slower():
    verdict = comparison.compare(measured(noisy(1, 30)), measured(noisy(2, 33)), {})
    assert verdict is not None and verdict.ratio is not None
    assert verdict.decision is Decision.SLOWER and verdict.ratio < 1


def test_a_difference_inside_the_noise_floor_is_no_difference():
    verdict = comparison.compare(measured(noisy(1, 30.9)), measured(noisy(2, 30)), {"1": 0.05})
    assert verdict is not None and verdict.decision in (Decision.EQUAL, Decision.INCONCLUSIVE)


def test_a_candidate_ranked_by_the_host_loses_what_its_span_had_won():
    spans = measured(noisy(1, 30)), measured(noisy(2, 15))
    hosts = [measured(noisy(s, us)).cold_ns for s, us in ((3, 60), (4, 400))]
    base, ours = (
        m.model_copy(update={"host_ns": h, "by_host": True})
        for m, h in zip(spans, hosts, strict=True)
    )
    won, lost = comparison.compare(*spans, {}), comparison.compare(base, ours, {})
    assert won is not None and won.decision is Decision.FASTER
    assert lost is not None and lost.decision is Decision.SLOWER
    own = comparison.latency(ours)
    assert own is not None and 390 < own[0] < 410


def test_four_pairs_say_nothing():
    assert comparison.compare(measured([1, 1, 1, 1]), measured([2, 2, 2, 2]), {}) is None


def test_samples_set_aside_do_not_count():
    base = measured([10.0] * 20)
    throttled = measured([10.0] * 10 + [99.0] * 10, set_aside=list(range(10, 20)))
    for pair in ((base, throttled), (throttled, base)):
        verdict = comparison.compare(*pair, {})
        assert verdict is not None and verdict.pairs == 10 and verdict.ratio == pytest.approx(1)


@given(st.floats(1.5, 9000), st.floats(0.5, 2))
def test_the_ratio_is_baseline_over_candidate_and_inside_its_interval(middle, factor):
    base = measured(noisy(3, middle * factor), 3)
    verdict = comparison.compare(base, measured(noisy(4, middle), 3), {})
    assert verdict is not None and verdict.ratio is not None
    assert verdict.interval[0] <= verdict.ratio <= verdict.interval[1]
    assert verdict.ratio == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize(
    ("interval", "sign_p", "decision"),
    [
        ((0.02, 0.03), 0.001, Decision.FASTER),
        ((0.02, 0.03), 0.2, Decision.INCONCLUSIVE),
        ((-0.03, -0.02), 0.001, Decision.SLOWER),
        ((-0.002, 0.002), 0.9, Decision.EQUAL),
        ((0.005, 0.02), 0.001, Decision.INCONCLUSIVE),
        ((-0.02, -0.005), 0.001, Decision.INCONCLUSIVE),
        ((-0.03, -0.02), 0.2, Decision.INCONCLUSIVE),
    ],
)
def test_the_rule(interval, sign_p, decision):
    assert comparison.decide(interval, sign_p, 0.01) is decision


def test_a_gain_that_is_sure_to_95_percent_alone_is_not_decided():
    base, ours = measured(noisy(18, 30.6)), measured(noisy(9_018, 30))
    verdict = comparison.compare(base, ours, {"1": 0.00572})
    assert verdict is not None and verdict.confidence == 0.95
    assert verdict.interval[0] > verdict.threshold
    assert verdict.decision is Decision.INCONCLUSIVE


def passed(uuid, latency_us, baseline_us=None, weight=None):
    return comparison.with_statistics(
        WorkloadResult(
            uuid=uuid,
            axes={"m": 1},
            status=Status.PASSED,
            weight=weight,
            floors_us={"device": latency_us / 2},
            measurement=measured([latency_us] * 12),
            baseline_measurement=measured([baseline_us] * 12) if baseline_us else None,
        ),
        {},
    )


def test_mean_of_ratios_and_ratio_of_means_are_both_there():
    totals = comparison.totals([passed("a", 1, 10), passed("b", 100, 100)])
    assert totals.mean_of_ratios == pytest.approx(5.5)
    assert totals.ratio_of_means == pytest.approx(110 / 101)
    assert (totals.wins, totals.ties) == (1, 1)


def test_weights_estimate_the_mean_of_all_workloads():
    totals = comparison.totals([passed("a", 1, weight=0.9), passed("b", 101, weight=0.1)])
    assert totals.mean_latency_us == pytest.approx(51)
    assert totals.estimated_full_mean_us == pytest.approx(11)


def test_a_sample_that_lacks_a_workload_estimates_nothing():
    ran = passed("a", 1, weight=0.9)
    not_run = WorkloadResult(uuid="b", axes={"m": 1}, status=Status.NOT_RUN, weight=0.1)
    assert comparison.totals([ran]).estimated_full_mean_us == pytest.approx(0.9)
    assert comparison.totals([ran, not_run]).estimated_full_mean_us is None


def test_one_failure_takes_every_latency_away():
    failed = WorkloadResult(uuid="b", axes={}, status=Status.RUNTIME_ERROR)
    totals = comparison.totals([passed("a", 1, 10), failed])
    assert totals.mean_latency_us is None and totals.failed == 1


def test_sol_percent_is_floor_over_latency():
    assert passed("a", 10).sol_percent == pytest.approx(50)


def test_a_workload_without_a_pass_cannot_hold_a_latency():
    with pytest.raises(ValueError, match="cannot hold a latency"):
        WorkloadResult(uuid="a", axes={}, status=Status.TIMEOUT, latency_us=1.0)


def workload(ours: Measurement, base: Measurement) -> WorkloadResult:
    return WorkloadResult(
        uuid="w",
        axes={"m": 64},
        status=Status.PASSED,
        measurement=ours,
        baseline_measurement=base,
    )


def test_a_gain_that_calls_back_to_back_do_not_show_is_found_with_its_figures():
    ours = measured(noisy(1, 17.3), sustained_ns=[19_000] * 6, clean_ns=[15_000] * 4)
    base = measured(noisy(2, 18.7), sustained_ns=[18_810] * 6, clean_ns=[18_000] * 4)
    result = comparison.with_statistics(workload(ours, base), {})
    assert (result.sustained_us, result.baseline_sustained_us) == (19.0, 18.81)
    assert (result.clean_us, result.baseline_clean_us, result.cold_us) == (15.0, 18.0, None)
    (finding,) = comparison.cold_only([result])
    assert "m=64: 1.08" in finding.message and "0.990x sustained" in finding.message
    assert "back to back" in finding.message and finding.evidence["state"] == "sustained"


@pytest.mark.parametrize("objective", [o for o in Objective if o is not Objective.COLD])
def test_the_objective_is_what_latency_ratio_and_decision_are_of(objective):
    kind = f"{objective}_ns"
    ours, base = (
        measured(noisy(s, 20), ranked_by=objective).model_copy(
            update={kind: measured(noisy(s, us)).cold_ns}
        )
        for s, us in ((1, 8), (2, 10))
    )
    result = comparison.with_statistics(workload(ours, base), {})
    assert result.latency_us == pytest.approx(8, rel=0.01)
    assert result.baseline_latency_us == pytest.approx(10, rel=0.01)
    assert result.cold_us == pytest.approx(20, rel=0.01)
    assert result.comparison is not None and result.comparison.decision is Decision.FASTER
    assert comparison.cold_only([result]) == []
    assert comparison.totals([result], objective).objective == objective
    assert comparison.totals([result]).objective == "mean_latency_us"


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_medians_of_resamples_are_those_of_the_values_drawn(sizes, seed):
    values = np.random.default_rng(seed).normal(size=sum(sizes)).round(1)
    of_block = np.random.default_rng(seed + 1).permutation(np.repeat(range(len(sizes)), sizes))
    blocks = [np.flatnonzero(of_block == block).tolist() for block in range(len(sizes))]
    rng = np.random.default_rng(20_261_120)
    if len(blocks) < 3:
        picks = rng.integers(0, len(values), size=(comparison.RESAMPLES, len(values)))
        expected = np.median(values[picks], axis=1).tolist()
    else:
        chosen = rng.integers(0, len(blocks), size=(comparison.RESAMPLES, len(blocks)))
        shares = rng.random((comparison.RESAMPLES, len(blocks), max(sizes)))
        expected, plain = [], values.tolist()
        for taken, share in zip(chosen.tolist(), shares.tolist(), strict=True):
            drawn = [
                plain[blocks[block][int(place * sizes[block])]]
                for block, places in zip(taken, share, strict=True)
                for place in places[: sizes[block]]
            ]
            expected.append(statistics.median(drawn))
    assert comparison.bootstrap_medians(values, blocks).tolist() == expected


@pytest.mark.parametrize("decided", [0, 1, 2, 7, 30, 1_200])
def test_the_sign_test_is_that_of_scipy(decided):
    for wins in {0, decided // 3, decided // 2, decided - decided // 4, decided}:
        expected = scipy.stats.binomtest(wins, decided).pvalue if decided else 1.0
        assert comparison.sign_test(wins, decided) == pytest.approx(expected, rel=1e-9)
