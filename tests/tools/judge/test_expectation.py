"""The quick way never accepts what the full comparison refuses."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.judge.correctness import Limits, check_output
from kernel_harness.tools.judge.expectation import agrees, expectation

LIMITS = Limits(
    atol=1e-2, rtol=1e-2, required_matched_ratio=1.0, rms_factor=2.0, max_factor=4.0,
    rms_floor=1e-4, max_floor=1e-3,
)  # fmt: skip


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    exact = torch.randn(6, 5, 8, generator=generator, dtype=torch.float64)
    return exact, exact.to(torch.bfloat16)


@given(
    st.integers(0, 500),
    st.floats(-9, 1),
    st.integers(0, 239),
    st.sampled_from(["one", "row", "all", "nan", "inf", "zero"]),
)
def test_what_the_quick_way_accepts_the_full_comparison_accepts(seed, magnitude, at, kind):
    exact, trusted = drawn(seed)
    got = trusted.clone()
    flat = got.view(-1)
    if kind == "one":
        flat[at] += 10**magnitude
    elif kind == "row":
        got.view(-1, 8)[at % 30] += 10**magnitude
    elif kind == "all":
        got += 10**magnitude
    elif kind == "zero":
        got.zero_()
    else:
        flat[at] = float(kind)
    known = expectation(exact, trusted, LIMITS, torch.bfloat16)
    assert known is not None
    quick = agrees("y", got, known, LIMITS)
    error, mismatch = check_output("y", got, exact, trusted, LIMITS)
    if quick is not None:
        assert mismatch is None
        assert quick.max_absolute is not None and error.max_absolute is not None
        assert abs(quick.max_absolute - error.max_absolute) < 1e-6


def test_an_honest_output_needs_no_closer_look():
    exact, trusted = drawn(1)
    known = expectation(exact, trusted, LIMITS, torch.bfloat16)
    assert known is not None and agrees("y", trusted, known, LIMITS) is not None


def test_an_oracle_with_infinities_is_left_to_the_full_comparison():
    exact, trusted = drawn(2)
    exact[0, 0, 0] = float("-inf")
    assert expectation(exact, trusted, LIMITS, torch.bfloat16) is None


def test_integers_are_left_to_the_full_comparison():
    indices = torch.arange(4, dtype=torch.int32)
    assert expectation(indices, indices, LIMITS, torch.int32) is None
