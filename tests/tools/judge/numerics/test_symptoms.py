"""Usual causes of wrong outputs: each is found where it is planted, with its figure."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.numerics.limits import ToleranceLimits
from kernel_harness.tools.judge.numerics.symptoms import Symptom, SymptomKind, recognise

NAMES = ("batch_size", "num_heads", "head_dim")
CONSTANTS = {"qk_dim": 128, "page_size": 64, "scale": 0.25}
FLOATS = (torch.float32, torch.float16, torch.bfloat16)

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(FLOATS)
shapes = st.tuples(st.integers(2, 5), st.integers(3, 9), st.sampled_from([16, 24, 33]))


def values(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def symptom_of(
    got: torch.Tensor,
    expected: torch.Tensor,
    dtype: torch.dtype = torch.float32,
    constants: dict[str, float] | None = None,
    names: tuple[str, ...] = NAMES,
) -> Symptom | None:
    """What is recognised once the output is stored in its dtype and compared as the judge does."""
    stored = got.to(dtype)
    limits = ToleranceLimits(rms_minimum=1e-2, max_minimum=3e-2)
    _, mismatch = check_output("y", stored, expected, None, limits)
    assert mismatch is not None
    bad = (stored.double() - expected).abs() > 0.03 * (expected.abs() + 0.1)
    return recognise(stored, expected, bad, names, constants or CONSTANTS)


def found(symptom: Symptom | None, kind: SymptomKind) -> Symptom:
    assert symptom is not None and symptom.kind is kind, symptom
    return symptom


@given(seeds, shapes, dtypes, st.sampled_from([math.sqrt(128), 1 / 64, 3.7, 0.25, 128.0]))
def test_a_constant_factor_is_found_with_its_figure(seed, shape, dtype, factor):
    expected = values(seed, shape)
    symptom = found(symptom_of(factor * expected, expected, dtype), SymptomKind.FACTOR)
    assert symptom.figure == pytest.approx(factor, rel=5e-3)


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (math.sqrt(128), "√128 (qk_dim)"),
        (1 / math.sqrt(128), "1/√128 (qk_dim)"),
        (64.0, "64 (page_size)"),
        (0.25, "0.25 (scale)"),
        (2.0, "2"),
    ],
)
def test_a_factor_is_explained_by_the_constant_that_it_equals(factor, name):
    expected = values(3, (3, 5, 7))
    symptom = found(symptom_of(factor * expected, expected), SymptomKind.FACTOR)
    assert symptom.words.endswith(f"which is {name}")


def test_a_factor_that_no_constant_explains_is_told_without_one():
    expected = values(3, (3, 5, 7))
    symptom = found(symptom_of(3.7 * expected, expected), SymptomKind.FACTOR)
    assert symptom.words == "every mismatched element is 3.7 times what is due"


@given(seeds, shapes, dtypes, st.sampled_from([math.log(2), math.log2(math.e)]))
def test_the_base_of_an_exponent_is_found(seed, shape, dtype, factor):
    expected = values(seed, shape) + 5
    symptom = found(symptom_of(factor * expected, expected, dtype), SymptomKind.EXPONENT_BASE)
    assert symptom.figure == pytest.approx(factor, rel=5e-3)
    due = "natural logarithms are due" if factor > 1 else "base 2 is due"
    assert due in symptom.words


few_elements = st.tuples(st.just(torch.float32), st.sampled_from([(37,), (4, 8)]))
more_elements = st.tuples(st.sampled_from([torch.float32, torch.float16]), st.just((16, 32)))


@given(seeds, few_elements | more_elements)
def test_the_base_of_values_that_lie_close_together_is_found(seed, output):
    """A logsumexp over many values is nearly the same everywhere: by chance all agree roughly."""
    dtype, shape = output
    lse = values(seed, (*shape, 256)).logsumexp(-1)
    found(symptom_of(lse / math.log(2), lse, dtype), SymptomKind.EXPONENT_BASE)


def test_the_base_is_found_in_bfloat16_for_nearly_all_values():
    """Its steps are wide: now and then chance would do as well. One of 150 was missed."""
    many = [values(seed, (16, 32, 256)).logsumexp(-1) for seed in range(12)]
    symptoms = [symptom_of(lse / math.log(2), lse, torch.bfloat16) for lse in many]
    named = [s for s in symptoms if s is not None and s.kind is SymptomKind.EXPONENT_BASE]
    assert len(named) >= 10


@given(seeds, st.sampled_from([math.log(128), -0.5, 1.0]))
def test_a_summand_is_found_and_not_taken_for_a_factor(seed, summand):
    lse = values(seed, (16, 32, 256)).logsumexp(-1)
    symptom = found(symptom_of(lse + summand, lse), SymptomKind.SUMMAND)
    assert symptom.figure == pytest.approx(summand, rel=1e-3)


@given(seeds)
def test_a_factor_close_to_one_is_found(seed):
    expected = values(seed, (5, 9, 33))
    symptom = found(symptom_of(1.1 * expected, expected), SymptomKind.FACTOR)
    assert symptom.figure == pytest.approx(1.1, rel=1e-3)


@given(seeds, shapes, dtypes)
def test_an_opposite_sign_is_found(seed, shape, dtype):
    expected = values(seed, shape)
    found(symptom_of(-expected, expected, dtype), SymptomKind.SIGN)


@given(seeds, shapes, dtypes, st.sampled_from([0.0, 1.5]))
def test_one_value_everywhere_is_found(seed, shape, dtype, value):
    expected = values(seed, shape)
    symptom = symptom_of(torch.full_like(expected, value), expected, dtype)
    assert found(symptom, SymptomKind.CONSTANT).figure == value


@given(seeds, shapes, dtypes, st.sampled_from([(0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0)]))
def test_axes_written_in_another_order_are_found(seed, shape, dtype, order):
    expected = values(seed, shape)
    got = expected.permute(order).reshape(shape)
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.PERMUTED_AXES)
    written = ", ".join(NAMES[axis] for axis in order)
    assert f"in the order ({written}) instead of (batch_size, num_heads, head_dim)" in symptom.words


@example(2729760, 5, torch.float32)  # four of the eighteen elements agree in one random order
@given(seeds, st.integers(5, 40), dtypes)
def test_a_transposed_square_is_found(seed, size, dtype):
    expected = values(seed, (size, size))
    symptom = symptom_of(expected.T, expected, dtype, names=("m", "n"))
    assert "(n, m) instead of (m, n)" in found(symptom, SymptomKind.PERMUTED_AXES).words


@given(seeds, dtypes, st.integers(2, 11).flatmap(lambda k: st.sampled_from([k, -k])))
def test_an_offset_along_the_last_axis_is_found_with_its_length(seed, dtype, shift):
    expected, strange = values(seed, (3, 5, 33)), values(seed + 1, (3, 5, 33))
    got = torch.roll(expected, -shift, dims=2)
    at = torch.arange(33) + shift
    got[:, :, (at < 0) | (at >= 33)] = strange[:, :, (at < 0) | (at >= 33)]
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.OFFSET)
    assert symptom.figure == shift and "along head_dim" in symptom.words


@given(seeds, dtypes, st.sampled_from([40, 100, -70]))
def test_an_offset_in_memory_is_found_across_rows(seed, dtype, shift):
    expected = values(seed, (4, 9, 33))
    got = torch.roll(expected.reshape(-1), -shift).reshape(expected.shape)
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.OFFSET)
    assert symptom.figure == shift and "in memory" in symptom.words


@given(seeds, dtypes, st.sampled_from([1, -1]), st.sampled_from([0, 1]))
def test_the_values_of_the_neighbouring_row_are_found(seed, dtype, step, axis):
    expected = values(seed, (6, 7, 16))
    got = torch.roll(expected, -step, dims=axis)
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.NEIGHBOUR)
    assert symptom.figure == step and f"neighbouring {NAMES[axis]}" in symptom.words


@given(seeds, dtypes, st.sampled_from([0, 1]))
def test_an_index_without_effect_is_found(seed, dtype, axis):
    expected = values(seed, (6, 7, 16))
    got = expected.select(axis, 0).unsqueeze(axis).expand(expected.shape)
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.NEIGHBOUR)
    assert f"at {NAMES[axis]} 0" in symptom.words


@given(seeds, dtypes, st.sampled_from([0, 1, 2]))
def test_exchanged_halves_are_found(seed, dtype, axis):
    expected = values(seed, (4, 6, 32))
    size = expected.shape[axis]
    got = torch.roll(expected, size // 2, dims=axis)
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.HALVES_SWAPPED)
    assert symptom.figure == size // 2 and NAMES[axis] in symptom.words


@given(seeds, dtypes, st.sampled_from([2, 4]))
def test_repeated_groups_in_the_wrong_order_are_found(seed, dtype, groups):
    few = values(seed, (3, groups, 16))
    expected = few.repeat_interleave(8 // groups, dim=1) + 0.2 * values(seed + 1, (3, 8, 1))
    few_first = torch.tensor([(h % groups) * (8 // groups) + h // groups for h in range(8)])
    got = expected[:, few_first]
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.WRONG_GROUP)
    assert symptom.figure in (groups, 8 // groups)


@given(seeds, dtypes, st.sampled_from([2, 4]))
def test_a_wrong_group_is_found_by_the_heads_that_are_right(seed, dtype, groups):
    expected = values(seed, (3, 8, 16))
    got = expected.clone()
    wrong = [h for h in range(8) if h % groups != h // (8 // groups)]
    got[:, wrong] = values(seed + 1, (3, 8, 16))[:, wrong]
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.WRONG_GROUP)
    assert symptom.figure == groups
    assert f"h % {groups} where h // {8 // groups} is due" in symptom.words


@given(seeds, dtypes, st.sampled_from([8, 16]))
def test_an_accumulator_that_is_kept_is_found_by_its_sums(seed, dtype, tile):
    expected = values(seed, (3, 2, 64))
    got = expected.reshape(3, 2, -1, tile).cumsum(dim=2).reshape(expected.shape)
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.STALE_ACCUMULATOR)
    assert symptom.figure == tile and "head_dim" in symptom.words


@given(seeds, dtypes, st.sampled_from([8, 16]), st.booleans())
def test_stale_tiles_are_found_by_their_places(seed, dtype, tile, first_elements):
    expected = values(seed, (3, 2, 64))
    got = expected.clone()
    wrong = slice(None, None, tile) if first_elements else slice(tile, None)
    got[..., wrong] = values(seed + 1, (3, 2, 64))[..., wrong] + 4
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.STALE_ACCUMULATOR)
    assert symptom.figure == tile


@given(seeds, dtypes, st.sampled_from([(100, 32, 4), (70, 64, 6), (48, 32, 16)]))
def test_a_missing_mask_is_found_with_the_tile_that_is_left(seed, dtype, case):
    size, tile, tail = case
    expected = values(seed, (3, 2, size))
    got = expected.clone()
    got[..., size - tail :] = values(seed + 1, (3, 2, tail)) + 4
    symptom = found(symptom_of(got, expected, dtype), SymptomKind.MISSING_MASK)
    assert symptom.figure == tail
    assert f"the last {tail} of {size} along head_dim" in symptom.words
    assert "in tiles of " in symptom.words and size % tile == tail


@given(seeds, shapes, dtypes)
def test_random_values_have_no_symptom(seed, shape, dtype):
    expected = values(seed, shape)
    assert symptom_of(values(seed + 1, shape), expected, dtype) is None
    assert symptom_of(expected + values(seed + 2, shape), expected, dtype) is None


@given(seeds, shapes, st.floats(0.02, 0.9))
def test_scattered_noise_has_no_symptom(seed, shape, share):
    expected = values(seed, shape)
    generator = torch.Generator().manual_seed(seed)
    hit = torch.rand(shape, generator=generator) < share
    hit.view(-1)[0] = True
    got = torch.where(hit, expected + 1 + values(seed + 1, shape).abs(), expected)
    assert symptom_of(got, expected) is None


@given(seeds, shapes)
def test_rounding_alone_has_no_symptom(seed, shape):
    expected = values(seed, shape)
    got = expected * (1 + 0.004 * values(seed + 1, shape))
    assert recognise(got, expected, torch.ones(shape, dtype=torch.bool), NAMES) is None


@given(seeds, st.sampled_from([torch.int32, torch.int64, torch.bool]))
def test_random_integers_have_no_symptom(seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    high = 2 if dtype == torch.bool else 50
    expected = torch.randint(high, (4, 6, 32), generator=generator).to(dtype)
    got = torch.randint(high, (4, 6, 32), generator=generator).to(dtype)
    assert recognise(got, expected, got != expected, NAMES) is None


@given(seeds)
def test_integers_of_the_neighbouring_row_are_found(seed):
    generator = torch.Generator().manual_seed(seed)
    expected = torch.randint(5000, (9, 32), generator=generator, dtype=torch.int32)
    got = torch.roll(expected, 1, dims=0)
    symptom = recognise(got, expected, got != expected, ("batch_size", "topk"))
    assert found(symptom, SymptomKind.NEIGHBOUR).figure == -1


def test_one_wrong_element_has_no_symptom():
    expected = values(1, (4, 6, 32))
    got = expected.clone()
    got[1, 2, 3] *= 2
    assert symptom_of(got, expected) is None


def test_only_a_sample_of_a_large_output_is_read():
    expected = values(1, (3000, 700)).float()
    got = 8 * expected
    got[:, :30] = expected[:, :30]
    symptom = recognise(got, expected, got != expected, ("rows", "columns"))
    assert found(symptom, SymptomKind.FACTOR).words.endswith("8 times what is due")


def test_scalars_and_right_outputs_have_no_symptom():
    one = torch.tensor(1.0)
    assert recognise(one, one, torch.tensor(True)) is None
    same = values(1, (3, 4))
    assert recognise(same, same, torch.zeros(3, 4, dtype=torch.bool)) is None


def test_a_mismatch_tells_the_symptom_and_its_remedy():
    expected = values(1, (3, 5, 128))
    got = (math.sqrt(128) * expected).to(torch.bfloat16)
    constants = {"head_dim": 128}
    _, mismatch = check_output(
        "y", got, expected, None, ToleranceLimits(), axis_names=NAMES, constants=constants
    )
    assert mismatch is not None
    assert (
        "Pattern: every mismatched element is 11.31 times what is due, which is √128 (head_dim)."
        in mismatch.message
    )
    assert "scale" in mismatch.remedy and "scattered" not in mismatch.message


def test_an_unwritten_output_is_told_as_such_and_not_as_one_value_everywhere():
    expected = values(1, (3, 5, 16))
    got = torch.full((3, 5, 16), 0x7E, dtype=torch.uint8).view(torch.float8_e5m2)
    _, mismatch = check_output("y", got, expected, None, ToleranceLimits(), poison=0x7E)
    assert mismatch is not None and mismatch.kind == "unwritten_output"
    assert "every mismatched element" not in mismatch.message
