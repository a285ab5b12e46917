"""The judge's own clock bounds a mean span: honest ones pass, shortened ones do not."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.judge.replay.witness import contradicts, t_quantile, witness_of

spans = st.floats(1_000.0, 1e7)


def batches(span: float, seed: int, calls: int, scatter: float) -> tuple[list[float], list[float]]:
    draw = random.Random(seed)
    flush = 35_000.0

    def one(each: float) -> float:
        return calls * each + draw.gauss(0.0, scatter)

    return [one(flush + span) for _ in range(8)], [one(flush) for _ in range(8)]


@given(spans, st.integers(0, 1 << 20), st.floats(0.0, 20_000.0))
def test_an_honest_mean_is_refused_only_where_the_batches_scattered_beyond_their_error(
    span, seed, scatter
):
    calls = 200
    witness = witness_of(*batches(span, seed, calls, scatter), calls, surplus_ns=0.0)
    missed = abs(witness.mean_ns - span)
    assert contradicts(witness, span) == (witness.mean_ns - span > witness.error_ns)
    assert missed < 8 * scatter / calls + 1


@given(spans, st.integers(0, 1 << 20))
def test_a_span_told_as_half_of_what_it_is_is_refused(span, seed):
    scatter = 2_000.0
    calls = math.ceil(100 * scatter / span)
    witness = witness_of(*batches(span, seed, calls, scatter), calls, surplus_ns=0.0)
    assert contradicts(witness, 0.5 * span)


def test_a_clock_that_follows_the_power_of_batches_accuses_nobody():
    witness = witness_of([40 * 192_043.0 + 1] * 6, [1.0] * 6, 40, surplus_ns=2_083.0)
    assert not contradicts(witness, 187_176.0)
    assert contradicts(witness, 185_900.0)


@given(spans, st.floats(0, 1e8), st.integers(1, 5), st.booleans())
def test_batches_that_were_disturbed_refuse_nobody(span, longer, count, with_calls):
    """Unless nearly all of one kind were, by as much: they scatter by more than they move."""
    even = [50 * (span + 35_000.0)] * 6, [50 * 35_000.0] * 6
    one = even[0 if with_calls else 1]
    one[:count] = [ns + longer for ns in one[:count]]
    assert not contradicts(witness_of(*even, 50, surplus_ns=0.0), span)


@given(spans, st.floats(-1e7, 1e7))
def test_what_drifts_from_pair_to_pair_falls_out(span, drift):
    flushes = [1e6 + n * drift for n in range(6)]
    witness = witness_of([f + 50 * span for f in flushes], flushes, 50, surplus_ns=0.0)
    assert witness.mean_ns == pytest.approx(span, rel=1e-3)
    assert witness.standard_error_ns == pytest.approx(0.0, abs=1e-3)


@pytest.mark.long
def test_honest_batches_that_scatter_are_refused_once_in_two_thousand():
    """Of 20,000 bounds from six pairs of batches each, at the true mean."""
    draw, refused = random.Random(5), 0
    for _ in range(20_000):
        with_calls = [draw.gauss(1e7, 20_000.0) for _ in range(6)]
        flushes = [draw.gauss(9e6, 20_000.0) for _ in range(6)]
        refused += contradicts(witness_of(with_calls, flushes, 200, surplus_ns=0.0), 5_000.0)
    assert refused <= 20


@given(spans, st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_a_larger_surplus_or_its_error_never_refuses_more(span, surplus, error):
    walls = batches(span, 1, 50, 100.0)
    strict = witness_of(*walls, 50, surplus_ns=0.0)
    lenient = witness_of(*walls, 50, surplus_ns=surplus, surplus_error_ns=error)
    assert 0.0 <= lenient.least_ns <= strict.least_ns


def test_between_two_quantiles_of_the_table_the_larger_one_counts():
    assert t_quantile(11) == t_quantile(10) > t_quantile(12)
    assert t_quantile(29) == t_quantile(20) and t_quantile(500) == t_quantile(30)


@pytest.mark.parametrize(("count", "calls"), [(2, 10), (3, 0)])
def test_too_little_is_no_bound(count, calls):
    with pytest.raises(ValueError, match="three batches"):
        witness_of([1.0] * count, [1.0] * count, calls, surplus_ns=0.0)
