"""Samples tell what a tensor's values are like, wherever in it they lie."""

from __future__ import annotations

import pytest
import torch

from kernel_harness.tools.collecting.recording.tensor_samples import (
    ELEMENTS,
    sample_of,
    statistics_of,
    two_valued,
)


def said_of(tensor: torch.Tensor):
    sample = sample_of(tensor)
    assert sample is not None
    said = statistics_of([sample])
    assert said is not None
    return said


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        ("constant", torch.full((64, 64), 3.0)),
        ("normal", torch.randn(64, 64) * 3 - 1),
        ("uniform", torch.rand(64, 64)),
        ("heavy_tailed", torch.randn(64, 64) * torch.randn(64, 64)),
        ("log_normal", torch.randn(64, 64).exp()),
        ("log_normal", -torch.randn(64, 64).square()),
        ("probabilities", torch.randn(64, 64).softmax(-1)),
        ("integers", torch.randint(0, 9, (64, 64))),
        ("normal", torch.randn(64, 64).to(torch.float8_e4m3fn)),
    ],
)
def test_values_have_a_kind(kind, tensor):
    torch.manual_seed(1)
    assert said_of(tensor).kind == kind


def test_zeros_are_counted_apart():
    x = torch.randn(128, 128) + 10
    said = said_of(x.masked_fill(torch.rand(128, 128) < 0.75, 0))
    assert said.zeros == pytest.approx(0.75, abs=0.02)
    assert said.mean == pytest.approx(10, abs=0.1) and said.least > 1


def test_a_large_tensor_is_met_in_all_its_columns_without_a_copy_of_it():
    x = torch.arange(512.0).expand(4096, 512)
    sample = sample_of(x)
    assert sample is not None and sample.numel() <= ELEMENTS
    assert torch.equal(sample[0], torch.arange(512.0))
    long = sample_of(torch.arange(1 << 20))
    assert long is not None and long.numel() <= ELEMENTS
    assert len(set((long % 64).flatten().tolist())) == 64


def test_no_sample_of_what_has_no_values():
    assert sample_of(torch.empty(0, 4)) is None
    assert sample_of(torch.empty(4, device="meta")) is None
    assert sample_of(torch.zeros(4, dtype=torch.complex64)) is None
    assert statistics_of([]) is None
    assert statistics_of([torch.tensor([[float("nan"), float("inf")]])]) is None


def test_values_that_are_not_finite_are_left_out():
    said = statistics_of([torch.tensor([[1.0, 3.0, float("-inf")]])])
    assert said is not None and (said.mean, said.least, said.greatest) == (2.0, 1.0, 3.0)


def test_masks_are_told_from_constants_and_values():
    mask = torch.zeros(8, 8).masked_fill(torch.ones(8, 8).triu(1).bool(), float("-inf"))
    samples = {"mask": mask, "ones": torch.ones(8, 8), "x": torch.randn(8, 8), "i": mask.bool()}
    assert two_valued(samples) == ["mask"]
