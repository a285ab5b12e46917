"""Sizes of a task become smaller, and nothing else of its text changes."""

from __future__ import annotations

import pytest

from kernel_harness.tools.suites.texts.reduced_sizes import factors_down_from, reduced

TEXT = """import torch

batch, features = 4096, 64  # é
shape = (512, 3, 224)
half = batch // 2
kernel = 3
bias = True
name: int = 1 << 20


def get_inputs():
    return [torch.rand(4096)]
"""


def test_what_is_assigned_at_the_top_level_is_divided() -> None:
    assert reduced(TEXT, 16) == (
        TEXT.replace("4096, 64", "256, 8")
        .replace("(512, 3, 224)", "(32, 3, 14)")
        .replace("1 << 20", "1 << 8")
    )


@pytest.mark.parametrize("factor", [1, 0, -3])
def test_no_factor_changes_nothing(factor: int) -> None:
    assert reduced(TEXT, factor) == TEXT
    assert factors_down_from(factor) == [1]


def test_factors_are_halved_down_to_none() -> None:
    assert factors_down_from(12) == [12, 6, 3, 1]


def test_of_another_file_only_what_it_says_too_becomes_smaller() -> None:
    other = "batch, features = 4096, 64\nBLOCK = 1024\nkernel = 3\nhalf = 512\n"
    assert reduced(other, 16, like=TEXT) == other.replace("4096, 64", "256, 8")
