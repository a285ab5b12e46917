"""Bytes are copied and compared as they are, wherever tensors begin and end."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.judge.calls.compared_bytes import copy_bytes, differing, same_bits
from kernel_harness.tools.judge.operators.generic_operator import TORCH_DTYPES

offsets = st.integers(0, 17)


def test_bits_are_compared_and_values_are_not():
    zero, nan = torch.zeros(3), torch.full((3,), float("nan"))
    assert not same_bits(zero, -zero) and same_bits(nan, nan.clone())
    assert differing([(zero, zero.clone()), (zero, -zero), (nan, nan.clone())]) == [
        False,
        True,
        False,
    ]
    assert differing([]) == []


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_tensors_without_elements_are_the_same_whatever_their_strides(shape):
    one = torch.empty(0).as_strided(shape, [0] * len(shape))
    assert same_bits(one, torch.empty(shape)) and differing([(one, torch.empty(shape))]) == [False]


def test_values_are_copied_in_the_targets_dtype_and_empty_ones_are_skipped():
    target, empty = torch.zeros(4, dtype=torch.bfloat16), torch.empty(0)
    copy_bytes([(target, torch.arange(4.0)), (empty, torch.empty(0))])
    assert target.tolist() == [0.0, 1.0, 2.0, 3.0]
    copy_bytes([(empty, torch.empty(0))])


@given(offsets, offsets, st.integers(1, 70), st.data())
def test_one_changed_bit_is_found_wherever_the_tensors_lie(begin, other_begin, count, data):
    memory = torch.randint(0, 256, (2, 100), dtype=torch.uint8)
    one, other = memory[0, begin : begin + count], memory[1, other_begin : other_begin + count]
    other.copy_(one)
    assert same_bits(one, other) and differing([(one, other)]) == [False]
    at, bit = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, 7))
    other[at] ^= 1 << bit
    assert not same_bits(one, other) and differing([(one, other)]) == [True]


@given(st.lists(st.tuples(offsets, offsets, st.integers(0, 70)), min_size=1, max_size=5))
def test_a_copy_fills_its_targets_and_nothing_beside_them(places):
    pairs, due = [], []
    for begin, other_begin, count in places:
        memory, source = torch.zeros(100, dtype=torch.uint8), torch.randint(1, 256, (100,))
        value = source.to(torch.uint8)[other_begin : other_begin + count]
        expected = memory.clone()
        expected[begin : begin + count] = value
        pairs.append((memory[begin : begin + count], value))
        due.append((memory, expected))
    copy_bytes(pairs)
    assert all(torch.equal(memory, expected) for memory, expected in due)


@pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=TORCH_DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (8, 8), (5, 7)])
def test_tensors_of_every_dtype_are_copied_and_compared(dtype, shape):
    # Made of bytes, for torch converts no float4: 0 and 1 are all that bool may hold.
    content = torch.randint(0, 2, (*shape, dtype.itemsize), dtype=torch.uint8)
    value = content.view(dtype)[..., 0]
    other = content.clone()
    other.view(-1)[0] ^= 1
    target = other.view(dtype)[..., 0]
    assert differing([(target, value)]) == [True]
    copy_bytes([(target, value)])
    assert same_bits(target, value) and torch.equal(other, content)


def test_tensors_of_other_shapes_are_never_the_same():
    assert not same_bits(torch.zeros(2, 3), torch.zeros(3, 2))
