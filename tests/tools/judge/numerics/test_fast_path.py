"""The quick way to a yes never says yes where the thorough way says no."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.numerics.fast_path import (
    ExpectedOutput,
    accepted_calls,
    prepare_outputs,
)
from kernel_harness.tools.judge.numerics.limits import ToleranceLimits
from tests.folding import for_each

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
STRICT = ToleranceLimits(rms_minimum=1e-6, max_minimum=1e-4)


def oracle(seed: int, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def accepted_outputs(got: Any, prepared: Any) -> dict[str, Any]:
    """Of one call alone."""
    (found,) = accepted_calls([(got, prepared)])
    return found


def both(got: torch.Tensor, expected: torch.Tensor, limits: ToleranceLimits = STRICT):
    trusted = expected.to(got.dtype)
    known = prepare_outputs({"y": ExpectedOutput(expected, trusted, limits, got.dtype)})["y"]
    quick = accepted_outputs({"y": got}, {"y": known})["y"] if known is not None else None
    _, mismatch = check_output("y", got, expected, trusted, limits)
    return quick, mismatch


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_honest_output_takes_the_quick_way(dtype):
    expected = oracle(1, (8, 16), 1.0)
    quick, mismatch = both(expected.to(dtype), expected)
    assert quick is not None and mismatch is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_ways_report_the_same_errors(dtype):
    expected = oracle(2, (8, 16), 3.0)
    got = (expected * (1 + 1e-4)).to(dtype)
    limits = ToleranceLimits(rms_minimum=1.0, max_minimum=1.0)
    quick, _ = both(got, expected, limits)
    thorough, _ = check_output("y", got, expected, expected.to(dtype), limits)
    assert quick is not None
    for name in ("max_absolute", "rms_relative", "max_scaled", "worst_row_relative"):
        assert getattr(quick, name) == pytest.approx(getattr(thorough, name), rel=0.05, abs=1e-6)


@for_each("flat, bad", itertools.product(range(24), [math.nan, math.inf, -math.inf]))
def test_nothing_that_is_not_finite_takes_the_quick_way(flat, bad):
    expected = oracle(3, (2, 3, 4), 1.0)
    got = expected.float()
    got.view(-1)[flat] = bad
    assert both(got, expected)[0] is None


def test_special_values_and_empty_or_integer_outputs_take_the_thorough_way():
    expected = oracle(4, (4, 4), 1.0)
    expected[1, 1] = -math.inf
    assert both(expected.float(), expected)[0] is None
    outputs = {
        "empty": ExpectedOutput(torch.zeros(0, 4), None, STRICT, torch.float32),
        "zeros": ExpectedOutput(torch.zeros(4, 4), None, STRICT, torch.float32),
        "integers": ExpectedOutput(torch.ones(4), None, STRICT, torch.int32),
    }
    assert prepare_outputs(outputs) == dict.fromkeys(outputs)


def test_outputs_of_one_call_are_told_apart():
    outputs = {
        name: ExpectedOutput(oracle(seed, shape, 2.0), None, STRICT, torch.float32)
        for name, seed, shape in (("one", 5, (4, 8)), ("scalar", 6, ()), ("other", 7, (3,)))
    }
    known = prepare_outputs(outputs)
    got = {name: one.expected.float() for name, one in outputs.items()}
    got["other"][1] += 1.0
    found = accepted_outputs(got, {name: one for name, one in known.items() if one is not None})
    assert [name for name, error in found.items() if error is None] == ["other"]
    assert found["one"] is not None and found["one"].output == "one"


@given(
    shape=st.lists(st.integers(1, 6), min_size=0, max_size=3),
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(DTYPES),
    exponent=st.integers(-4, 4),
    faults=st.lists(st.floats(-4, 1), max_size=3),
    data=st.data(),
)
def test_a_quick_yes_is_a_thorough_yes(shape, seed, dtype, exponent, faults, data):
    expected = oracle(seed, tuple(shape), 10.0**exponent)
    got = expected.to(dtype)
    for fault in faults:
        flat = data.draw(st.integers(0, got.numel() - 1))
        got.view(-1)[flat] += 10.0 ** (exponent + fault)
    quick, mismatch = both(got, expected)
    if quick is not None:
        assert mismatch is None


@pytest.mark.parametrize(("share", "passes"), [(1.0, False), (0.5, False), (0.4, True)])
def test_the_published_criterion_holds_on_the_fast_path(share: float, passes: bool):
    expected = oracle(5, (8, 16), 1.0)
    got = expected.float()
    got[:4] *= 1 + 1e-4
    got[4, 0] *= 1 + 1e-4
    loose: dict[str, Any] = {"rms_minimum": 1.0, "max_minimum": 1.0, "atol": 1e-9, "rtol": 1e-6}
    fast, slow = both(got, expected, ToleranceLimits(**loose, required_matched_ratio=share))
    assert (fast is not None) == (slow is None) == passes


def test_a_cap_and_refused_zeros_hold_on_the_fast_path():
    expected = 1e-5 * torch.randn(64, 64, generator=torch.Generator().manual_seed(3))
    loose: dict[str, Any] = {"rms_minimum": 9.0, "max_minimum": 99.0, "required_matched_ratio": 0.5}
    for limits, passes in (
        (ToleranceLimits(**loose), True),
        (ToleranceLimits(**loose, zeros=False), False),
        (ToleranceLimits(**loose, max_error=1e-9), False),
    ):
        fast, slow = both(torch.zeros_like(expected), expected, limits)
        assert (fast is not None) == (slow is None) == passes


@given(
    shapes=st.lists(st.sampled_from([(), (7,), (3, 5), (2, 3, 4), (1, 1)]), min_size=1, max_size=6),
    off=st.floats(0.0, 0.1),
    at=st.integers(0, 2**31),
)
def test_calls_that_are_compared_together_get_the_errors_that_each_gets_alone(shapes, off, at):
    limits = ToleranceLimits(rms_minimum=1e-2, max_minimum=1e-1)
    calls = []
    for number, shape in enumerate(shapes):
        expected = oracle(number, shape, 2.0)
        outputs = {
            name: ExpectedOutput(expected + n, None, limits, torch.float32)
            for n, name in enumerate("ab")
        }
        prepared = prepare_outputs(outputs)
        got = {name: one.expected.float() for name, one in outputs.items()}
        if expected.numel() and number == at % len(shapes):
            got["a"].view(-1)[at % expected.numel()] += off if at % 3 else math.nan
        calls.append((got, prepared))
    together = accepted_calls(calls)
    for found, (got, prepared) in zip(together, calls, strict=True):
        alone = accepted_outputs(got, prepared)
        assert found.keys() == alone.keys()
        for name in found:
            one, other = found[name], alone[name]
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                for field, value in one.model_dump().items():
                    same = getattr(other, field)
                    assert value == (
                        pytest.approx(same, rel=1e-6) if value.__class__ is float else same
                    )


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 1, 2, 3), (3, 2, 1, 0)])
@pytest.mark.parametrize("got_as_well", [True, False])
def test_outputs_whose_axes_lie_in_another_order_are_compared_together(order, got_as_well):
    """As those of a convolution do whose channels come last."""
    limits = ToleranceLimits(rms_minimum=1e-2, max_minimum=1e-1)
    back = tuple(order.index(axis) for axis in range(4))
    calls = []
    for number in range(3):
        exact = oracle(number, (2, 3, 4, 5), 2.0).permute(order).contiguous().permute(back)
        got = exact.float().clone() if got_as_well else exact.float().contiguous()
        got[1, 2, 3, number] += 0.01 if number else math.nan
        expected = {"y": ExpectedOutput(exact, None, limits, torch.float32)}
        calls.append(({"y": got}, prepare_outputs(expected)))
    together = [found["y"] for found in accepted_calls(calls)]
    alone = [accepted_outputs(got, prepared)["y"] for got, prepared in calls]
    assert together[0] is None and alone[0] is None
    for one, other in zip(together[1:], alone[1:], strict=True):
        assert one is not None and other is not None
        assert one.worst_row_relative == pytest.approx(other.worst_row_relative, rel=1e-6)
        assert one.max_absolute == pytest.approx(0.01, rel=1e-3)
