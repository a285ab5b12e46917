"""The judge's own clock bounds a mean span: honest ones pass, shortened ones do not."""

import random
from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.judge.replay.witness import calls_for, contradicts, witness_of

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
    scatter, calls = 2_000.0, 0
    calls = calls_for(0.2 * span, scatter, 8)
    witness = witness_of(*batches(span, seed, calls, scatter), calls, surplus_ns=0.0)
    assert contradicts(witness, 0.5 * span)


@given(spans, st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_a_larger_surplus_or_its_error_never_refuses_more(span, surplus, error):
    walls = batches(span, 1, 50, 100.0)
    strict = witness_of(*walls, 50, surplus_ns=0.0)
    lenient = witness_of(*walls, 50, surplus_ns=surplus, surplus_error_ns=error)
    assert 0.0 <= lenient.least_ns <= strict.least_ns


@given(st.floats(1.0, 1e5), st.floats(0.0, 1e6), st.integers(3, 20))
def test_enough_calls_bring_the_error_down_to_what_was_wanted(error, scatter, count):
    calls = calls_for(error, scatter, count)
    values = [scatter * (-1) ** n for n in range(count)]
    if stdev(values) > 0:
        scaled = [v * scatter / stdev(values) for v in values]
        witness = witness_of(scaled, scaled, calls, surplus_ns=0.0)
        assert witness.error_ns <= error * 1.000001


@pytest.mark.parametrize(("count", "calls"), [(2, 10), (3, 0)])
def test_too_little_is_no_bound(count, calls):
    with pytest.raises(ValueError, match="three batches"):
        witness_of([1.0] * count, [1.0] * count, calls, surplus_ns=0.0)


def test_an_error_of_nothing_cannot_be_had():
    with pytest.raises(ValueError, match="above nothing"):
        calls_for(0.0, 1.0, 3)
