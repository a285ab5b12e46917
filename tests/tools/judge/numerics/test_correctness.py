"""One output against the oracle: every fault is found, honest rounding is not a fault."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.judge.calls.poisons import POISONS
from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.numerics.limits import ToleranceLimits
from kernel_harness.tools.workloads.policy import ToleranceForm
from tests.folding import for_each

SHAPE = (3, 4, 5)
EVERY = range(math.prod(SHAPE))
ENDS = {0, 1, 4, 5, 19, 20, 31, 58, 59}
"""Of elements, rows and planes: what the quick tests try."""
INDICES = [pytest.param(i, marks=() if i in ENDS else pytest.mark.long) for i in EVERY]
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
Fault = Callable[[], tuple[torch.Tensor, torch.Tensor]]


def oracle(seed: int = 0, shape: tuple[int, ...] = SHAPE, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def verdict(got, expected, trusted=None, limits=None, **options):
    return check_output("y", got, expected, trusted, limits or ToleranceLimits(), **options)


def strict_verdict(got, expected):
    trusted = expected.to(got.dtype)
    tight = ToleranceLimits(rms_factor=2, max_factor=4, rms_minimum=1e-6, max_minimum=1e-4)
    return verdict(got, expected, trusted, tight)


@pytest.mark.parametrize("dtype", FLOATS)
def test_rounding_to_the_declared_dtype_passes(dtype):
    expected = oracle()
    error, mismatch = strict_verdict(expected.to(dtype), expected)
    assert mismatch is None and error.strict and error.compatible


@pytest.mark.parametrize("flat", INDICES)
@for_each("scale, dtype", itertools.product([1e-4, 1.0, 1e3], FLOATS))
def test_a_fault_at_every_index_is_found_at_every_scale(flat, scale, dtype):
    expected = oracle(scale=scale)
    got = expected.to(dtype)
    index = [int(i) for i in torch.unravel_index(torch.tensor(flat), SHAPE)]
    got[tuple(index)] += 0.5 * scale
    error, mismatch = strict_verdict(got, expected)
    assert mismatch is not None and not error.strict
    assert mismatch.index == index
    assert mismatch.mismatched == 1 and mismatch.pattern == "one element"


@pytest.mark.parametrize("flat", INDICES)
@for_each("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_value_at_every_index_is_found(flat, bad):
    expected = oracle()
    got = expected.float()
    got.view(-1)[flat] = bad
    _, mismatch = strict_verdict(got, expected)
    assert mismatch is not None and mismatch.kind == "wrong_nonfinite"
    assert mismatch.index == [int(i) for i in torch.unravel_index(torch.tensor(flat), SHAPE)]


@for_each("flat", range(math.prod(SHAPE)))
def test_an_unwritten_element_at_every_index_is_named_as_such(flat):
    expected = oracle()
    for pattern in POISONS[torch.bfloat16]:
        got = expected.bfloat16()
        signed = pattern - (1 << 16) if pattern >= 1 << 15 else pattern
        got.view(torch.int16).view(-1)[flat] = signed
        _, mismatch = verdict(got, expected, expected.bfloat16(), poison=pattern)
        assert mismatch is not None and mismatch.kind == "unwritten_output"
        assert mismatch.got == "never written"


@pytest.mark.parametrize("special", [math.nan, math.inf, -math.inf])
def test_non_finite_values_must_match_class_by_class(special):
    expected = oracle()
    expected[1, 2, 3] = special
    got = expected.float()
    assert verdict(got, expected, expected.float())[1] is None
    for other in (0.0, math.nan, math.inf, -math.inf):
        if other == special or (math.isnan(other) and math.isnan(special)):
            continue
        wrong = got.clone()
        wrong[1, 2, 3] = other
        assert verdict(wrong, expected, expected.float())[1] is not None


def test_zeros_fail_where_values_lie_below_the_absolute_tolerance():
    expected = oracle(scale=1e-3)
    error, mismatch = verdict(torch.zeros(SHAPE), expected, expected.float())
    assert error.compatible and not error.strict
    assert mismatch is not None and mismatch.kind == "error_too_large"


def test_overflow_to_infinity_passes_only_where_the_dtype_itself_overflows():
    expected = torch.full((4,), 1e5, dtype=torch.float64)
    got = torch.full((4,), math.inf, dtype=torch.float16)
    assert verdict(got, expected, got.clone())[1] is None
    assert verdict(-got, expected, got.clone())[1] is not None
    finite = torch.full((4,), 100.0, dtype=torch.float64)
    assert verdict(got, finite, finite.half())[1] is not None


def test_all_zero_expectations_accept_only_zeros():
    expected = torch.zeros(8, dtype=torch.float64)
    assert verdict(torch.zeros(8), expected, torch.zeros(8))[1] is None
    assert verdict(torch.full((8,), 1e-3), expected, torch.zeros(8))[1] is not None


def one_skipped_row() -> tuple[torch.Tensor, torch.Tensor]:
    expected = oracle(shape=(2000, 16))
    expected[7] *= 1e-4
    got = expected.float()
    got[7] = 0
    return expected, got


def one_element_of_a_long_row() -> tuple[torch.Tensor, torch.Tensor]:
    expected = oracle(shape=(4, 20_000))
    got = expected.float()
    got[2, 777] += 5e-3
    return expected, got


def all_elements_a_little() -> tuple[torch.Tensor, torch.Tensor]:
    expected = oracle(shape=(50, 400))
    return expected, expected.float() + 3e-4 * torch.sign(expected.float())


@pytest.mark.parametrize(
    ("fault", "by"),
    [
        (one_skipped_row, "row"),
        (one_element_of_a_long_row, "element"),
        (all_elements_a_little, "rms"),
    ],
)
def test_each_bound_finds_what_no_other_does(fault: Fault, by: str):
    expected, got = fault()
    error, mismatch = verdict(got, expected, expected.float())
    assert mismatch is not None and error.compatible and not error.strict
    figures = {
        "rms": (error.rms_relative, error.limit_rms_relative),
        "element": (error.max_scaled, error.limit_max_scaled),
        "row": (error.worst_row_relative, error.limit_max_scaled),
    }
    assert [name for name, (found, most) in figures.items() if (found or 0) > (most or 0)] == [by]


def test_empty_outputs_pass():
    error, mismatch = verdict(torch.zeros(0, 4), torch.zeros(0, 4, dtype=torch.float64))
    assert mismatch is None and error.strict


def test_a_scalar_output_is_compared():
    expected = torch.tensor(2.0, dtype=torch.float64)
    assert verdict(torch.tensor(2.0), expected, torch.tensor(2.0))[1] is None
    mismatch = verdict(torch.tensor(3.0), expected, torch.tensor(2.0))[1]
    assert mismatch is not None and mismatch.index == []


def test_another_shape_is_no_match_even_if_it_broadcasts():
    _, mismatch = verdict(torch.ones(1), torch.ones(4, dtype=torch.float64))
    assert mismatch is not None and mismatch.kind == "wrong_shape"


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int8, torch.bool])
def test_integers_must_be_equal(dtype):
    expected = torch.arange(6).to(dtype)
    assert verdict(expected.clone(), expected)[1] is None
    wrong = expected.clone()
    wrong[4] = not wrong[4] if dtype == torch.bool else wrong[4] + 1
    error, mismatch = verdict(wrong, expected)
    assert mismatch is not None and mismatch.index == [4] and not error.strict


def test_integers_beyond_single_precision_are_told_apart():
    expected = torch.tensor([2**24, 2**53])
    assert verdict(expected + 1, expected)[1] is not None


def test_the_published_criterion_is_both_errors_too_large():
    expected = torch.tensor([100.0, 1e-3], dtype=torch.float64)
    got = torch.tensor([100.5, 2e-3])
    error, _ = verdict(got, expected, limits=ToleranceLimits(rms_minimum=1, max_minimum=1))
    assert error.matched_ratio == 1.0
    worse = torch.tensor([102.0, 2e-2])
    error, mismatch = verdict(worse, expected, limits=ToleranceLimits(rms_minimum=9, max_minimum=9))
    assert error.matched_ratio == 0.0 and mismatch is not None


def test_a_required_ratio_leaves_room_for_the_published_verdict():
    expected = torch.ones(100, dtype=torch.float64)
    got = torch.ones(100)
    got[:5] = 2
    loose = ToleranceLimits(required_matched_ratio=0.9, rms_minimum=10, max_minimum=10)
    assert verdict(got, expected, limits=loose)[1] is None
    assert (
        verdict(got, expected, limits=ToleranceLimits(rms_minimum=10, max_minimum=10))[1]
        is not None
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_share_that_suffices_makes_up_for_no_value_that_is_not_finite(bad: float):
    expected = oracle()
    got = expected.float()
    got.view(-1)[7] = bad
    half = ToleranceLimits(required_matched_ratio=0.5)
    error, mismatch = verdict(got, expected, expected.float(), half)
    assert mismatch is not None and error.compatible and not error.strict


def test_where_the_trusted_implementation_misses_the_published_criterion_it_decides_nothing():
    expected = oracle(shape=(4096,), scale=1e4)
    trusted = (expected + 30 * torch.randn(4096, dtype=torch.float64)).float()
    other = (expected + 30 * torch.randn(4096, dtype=torch.float64)).float()
    error, mismatch = verdict(other, expected, trusted, ToleranceLimits(rms_factor=2, max_factor=4))
    assert error.matched_ratio is not None and error.matched_ratio < 1
    assert mismatch is None


def test_limits_follow_the_trusted_implementation():
    expected = oracle(shape=(64, 64))
    noise = torch.randn(64, 64, dtype=torch.float64)
    trusted, twice = (expected + k * 1e-3 * noise for k in (1, 1.9))
    tight = ToleranceLimits(rms_minimum=0, max_minimum=0)
    assert verdict(twice, expected, trusted, tight)[1] is None
    thrice = expected + 3e-3 * noise
    assert verdict(thrice, expected, trusted, tight)[1] is not None


@given(
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=4),
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(FLOATS),
    exponent=st.integers(-3, 3),
    data=st.data(),
)
def test_any_single_fault_anywhere_is_found(shape, seed, dtype, exponent, data):
    expected = oracle(seed, tuple(shape), 10.0**exponent)
    got = expected.to(dtype)
    assert strict_verdict(got, expected)[1] is None
    flat = data.draw(st.integers(0, got.numel() - 1))
    got.view(-1)[flat] = -got.view(-1)[flat] + (10.0**exponent)
    if torch.equal(got, expected.to(dtype)):
        return
    moved = abs(float(got.view(-1)[flat]) - float(expected.reshape(-1)[flat]))
    rms = float(expected.square().mean().sqrt())
    if moved > 0.5 * rms:
        mismatch = strict_verdict(got, expected)[1]
        assert mismatch is not None
        assert mismatch.index == [int(i) for i in torch.unravel_index(torch.tensor(flat), shape)]


def test_the_published_criterion_decides_only_on_the_inputs_that_it_was_made_for():
    """A production kernel was refused over one element of a state that decays near to nothing."""
    expected = torch.full((4, 256), 0.65, dtype=torch.float64)
    got = expected.float()
    got[0, 0] += 0.0105
    limits = ToleranceLimits(rms_factor=4.0, max_factor=4.0, rms_minimum=1e-2, max_minimum=1e-1)
    for published in (True, False):
        error, mismatch = check_output(
            "y", got, expected, expected.float(), limits, published=published
        )
        assert error.strict and not error.compatible
        assert (mismatch is not None) == published


def allclose_limits(**options):
    return ToleranceLimits(atol=1e-4, rtol=1e-4, form=ToleranceForm.ALLCLOSE, **options)


@pytest.mark.parametrize("factor", [0.9, 1.1])
@pytest.mark.parametrize("value", [0.0, 1.0, -30.0])
def test_the_allclose_form_allows_the_sum_of_both_bounds(value, factor):
    expected = torch.full(SHAPE, value)
    got = expected + factor * 1e-4 * (1 + abs(value))
    limits = allclose_limits(strict_decides=False)
    error, mismatch = verdict(got, expected, expected, limits)
    assert error.compatible == (mismatch is None) == torch.allclose(got, expected, 1e-4, 1e-4)
    assert error.compatible == (factor < 1)


def test_the_published_criterion_alone_passes_what_the_strict_one_does_not_and_says_so():
    expected = 1e-5 * oracle().float()
    zeros = torch.zeros_like(expected)
    error, mismatch = verdict(zeros, expected, expected, allclose_limits(strict_decides=False))
    assert mismatch is None and error.compatible and not error.strict
    error, mismatch = verdict(zeros, expected, expected, allclose_limits())
    assert mismatch is not None and mismatch.kind == "error_too_large"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_published_criterion_alone_refuses_what_is_not_finite(bad):
    expected = oracle().float()
    got = expected.clone()
    got.view(-1)[7] = bad
    error, mismatch = verdict(got, expected, expected, allclose_limits(strict_decides=False))
    assert mismatch is not None and mismatch.kind == "wrong_nonfinite" and not error.compatible


def test_a_mismatch_of_the_published_criterion_tells_its_own_figures():
    expected = oracle().float()
    limits = allclose_limits(strict_decides=False)
    _, mismatch = verdict(expected + 0.5, expected, expected, limits)
    assert mismatch is not None and mismatch.mismatched == expected.numel()
    assert "atol 0.0001" in mismatch.message and "0.5" in mismatch.message


def test_one_element_beyond_the_cap_is_wrong_whatever_share_matches():
    expected = oracle().float()
    got = expected.clone()
    got.view(-1)[7] += 3.0
    share = allclose_limits(strict_decides=False, required_matched_ratio=0.9)
    assert verdict(got, expected, expected, share)[1] is None
    capped = replace(share, max_error=1.0)
    error, mismatch = verdict(got, expected, expected, capped)
    assert mismatch is not None and "no element may have more than 1" in mismatch.message
    assert mismatch.mismatched == 1 and not error.compatible
    assert verdict(got, expected, expected, replace(share, max_error=4.0))[1] is None


def test_zeros_can_be_refused_however_small_the_expected_values_are():
    expected = 1e-5 * oracle().float()
    zeros = torch.zeros_like(expected)
    refusing = allclose_limits(strict_decides=False, zeros=False)
    _, mismatch = verdict(zeros, expected, expected, refusing)
    assert mismatch is not None and "every element is zero" in mismatch.message
    assert verdict(zeros, zeros, zeros, refusing)[1] is None
    assert verdict(expected * 0.5, expected, expected, refusing)[1] is None
