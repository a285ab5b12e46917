"""References of torch's functions give what torch gives on the calls that are made."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kernel_harness.tools.collecting.adapters.replay import compared_calls
from kernel_harness.tools.collecting.adapters.table import adapter_of
from kernel_harness.tools.collecting.tracing import trace

from ..conftest import definition_in, run_of


def adapter(name):
    found = adapter_of(f"torch.nn.functional.{name}", None)
    assert found is not None
    return found


def assert_alike(calls, count):
    assert len(calls) == count
    for call in calls:
        torch.testing.assert_close(call.expected, call.got)


ATTENTION = {
    "plain": {},
    "causal": {"is_causal": True},
    "scaled": {"scale": 0.3},
    "kept": {"attn_mask": torch.ones(5, 5, dtype=torch.bool).tril()},
    "added": {"attn_mask": torch.linspace(-1, 1, 25).reshape(5, 5)},
}


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("heads", [4, 2])
def test_attention(name, heads):
    query = torch.randn(2, 4, 5, 8)
    key, value = torch.randn(2, 2, heads, 5, 8)
    given = ATTENTION[name] | ({"enable_gqa": True} if heads == 2 else {})
    with compared_calls(adapter("scaled_dot_product_attention")) as calls:
        F.scaled_dot_product_attention(query, key, value, **given)
    assert_alike(calls, 1)


def test_attention_that_drops_at_random_is_not_taken():
    x = torch.randn(1, 1, 3, 8)
    with compared_calls(adapter("scaled_dot_product_attention")) as calls:
        F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)
    assert not calls


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    with compared_calls(adapter("linear")) as calls, torch.no_grad():
        torch.nn.Linear(8, 4, bias=bias)(torch.randn(2, 3, 8))
    assert_alike(calls, 1)


@pytest.mark.parametrize("shape", [(8,), (2, 8)])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("eps", [None, 1e-3])
def test_rms_norm(shape, affine, eps):
    norm = torch.nn.RMSNorm(shape, eps=eps, elementwise_affine=affine)
    with compared_calls(adapter("rms_norm")) as calls, torch.no_grad():
        norm(torch.randn(3, 2, 8))
    assert_alike(calls, int(len(shape) == 1))


def test_a_dataset_has_the_adapters_inputs_and_reference(tmp_path):
    query, key, value = torch.randn(3, 1, 2, 5, 8)
    with trace(tmp_path / "out", ["torch.nn.functional.scaled_dot_product_attention"]) as written:
        result = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    assert written[0].unfinished is None
    definition = definition_in(tmp_path / "out")
    assert list(definition.inputs) == ["query", "key", "value", "scale"]
    found = run_of(definition)(query, key, value, 8**-0.5)
    torch.testing.assert_close(found, result)
