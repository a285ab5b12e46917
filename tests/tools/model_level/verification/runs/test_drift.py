"""Drift is relative to the outputs, over whatever holds them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from kernel_harness.tools.model_level.verification.runs import drift
from kernel_harness.tools.model_level.verification.runs.drift import drift_of, tensors_in


def test_tensors_are_found_in_what_models_return():
    a, b, c = (torch.full((1,), float(n)) for n in range(3))
    result = SimpleNamespace(logits=a, cache=[{"k": b}, ("name", c)], loss=None)
    assert list(tensors_in(result)) == [a, b, c]


def test_drift_is_the_worst_over_all_outputs():
    expected = [torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([10])]
    got = [torch.tensor([[3.0, 4.0], [0.5, 0.25]]), torch.tensor([10])]
    found = drift_of(expected, got)
    assert found.relative == pytest.approx((0.5**2 + 0.75**2) ** 0.5 / 26**0.5)
    assert (found.largest, found.argmax_agreement, found.dtype) == (0.75, 0.5, "float32")
    assert drift_of(expected, expected).relative == 0.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_must_be_so_in_both(value):
    plain, odd = torch.tensor([1.0, 2.0]), torch.tensor([1.0, value])
    assert drift_of([plain], [odd]).relative is None
    assert drift_of([odd], [odd]).relative == 0.0


def test_infinities_of_another_sign_are_another_result():
    a, b = torch.tensor([1.0, float("inf")]), torch.tensor([1.0, float("-inf")])
    assert drift_of([a], [b]).relative is None
    assert drift_of([a], [torch.tensor([1.0, float("nan")])]).relative is None


def test_of_several_largest_elements_any_is_the_same():
    a = torch.tensor([[1.0, 2.0, 2.0], [3.0, 0.0, 0.0]])
    b = torch.tensor([[1.0, 2.5, 2.5], [0.0, 0.0, 3.0]])
    assert drift_of([a], [b]).argmax_agreement == 0.5
    assert drift_of([a], [a.flip(-1)]).argmax_agreement == 0.5


def test_large_tensors_are_compared_by_parts(monkeypatch):
    given, other = torch.randn(50, 7).bfloat16(), torch.randn(50, 7).bfloat16()
    whole = drift_of([given], [other])
    monkeypatch.setattr(drift, "PART", 16)
    parts = drift_of([given.t()], [other.t()])
    assert parts.relative == pytest.approx(whole.relative) and parts.largest == whole.largest
    assert drift_of([given], [other.masked_fill(other > 1, float("nan"))]).relative is None


def test_other_shapes_are_no_drift_that_has_a_number():
    assert drift_of([torch.ones(2)], [torch.ones(3)]).relative is None
    assert drift_of([torch.ones(2)], []).relative is None
    assert drift_of([torch.zeros(2)], [torch.ones(2)]).relative == 1.0
