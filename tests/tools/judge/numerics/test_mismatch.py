"""Where mismatches lie, in words."""

from __future__ import annotations

import torch

from kernel_harness.tools.judge.numerics.mismatch import describe_mask

NAMES = ("batch_size", "num_heads", "head_dim")


def mask(*where) -> torch.Tensor:
    found = torch.zeros(4, 8, 16, dtype=torch.bool)
    for place in where:
        found[place] = True
    return found


def test_nothing_is_no_words_and_everything_is_every_element():
    assert describe_mask(mask()) == ""
    assert describe_mask(mask(...)) == "every element"


def test_a_block_is_named_by_its_axes():
    words = describe_mask(mask((2, slice(1, 4))), NAMES)
    assert words == "all of batch_size 2, num_heads 1-3"


def test_a_tail_is_named_as_such():
    words = describe_mask(mask((slice(None), slice(None), slice(12, 16))), NAMES)
    assert words == "all of last 4 (12-15) of head_dim"


def test_a_stride_is_named():
    words = describe_mask(mask((slice(None), slice(None), slice(0, 16, 4))), NAMES)
    assert words == "all of head_dim 0, 4, … 12 (every 4th)"


def test_scattered_mismatches_are_called_scattered():
    generator = torch.Generator().manual_seed(1)
    found = torch.rand(4, 8, 16, generator=generator) < 0.2
    assert describe_mask(found, NAMES).startswith("scattered over the whole output")


def test_a_single_element_is_called_one_element():
    assert describe_mask(mask((1, 2, 3)), NAMES) == "one element"


def test_axes_without_names_are_numbered():
    assert describe_mask(mask(0)) == "all of axis 0 0"
