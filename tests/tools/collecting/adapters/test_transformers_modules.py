"""References of transformers' modules, on modules that hold what those hold."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from kernel_harness.tools.collecting.adapters.replay import compared_calls
from kernel_harness.tools.collecting.adapters.table import adapter_of
from kernel_harness.tools.collecting.adapters.transformers_modules import TRANSFORMERS_ADAPTERS


class Experts(torch.nn.Module):
    """Experts computed all for every token, and then chosen from."""

    def __init__(self, activation: torch.nn.Module) -> None:
        super().__init__()
        self.gate_up_proj = torch.nn.Parameter(torch.randn(4, 12, 8) / 3)
        self.down_proj = torch.nn.Parameter(torch.randn(4, 8, 6) / 3)
        self.act_fn = activation

    def forward(
        self, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        gate, up = torch.einsum("th,eih->tei", hidden_states, self.gate_up_proj).chunk(2, -1)
        every = torch.einsum("tei,eoi->teo", self.act_fn(gate) * up, self.down_proj)
        chosen = every.gather(1, top_k_index[..., None].expand(-1, -1, every.shape[-1]))
        return (chosen * top_k_weights[..., None]).sum(1)


class Norm(torch.nn.Module):
    """A norm as those models have it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(0.5, 2, 8))
        self.variance_epsilon = 1e-3

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.rms_norm(hidden_states, (8,), self.weight, self.variance_epsilon)


def adapter(monkeypatch, model, name, kind):
    """The adapter of a model's class, with ours in its place."""
    *parents, last = f"transformers.models.{model}.modeling_{model}".split(".")
    path = ""
    for part in (*parents, last):
        path = f"{path}.{part}".lstrip(".")
        monkeypatch.setitem(sys.modules, path, ModuleType(path))
    setattr(sys.modules[path], name, type(name, (kind,), {"forward": kind.forward}))
    found = adapter_of(f"{path}.{name}.forward", None)
    assert found is not None
    return found, getattr(sys.modules[path], name)


EXPERTS = [
    ("qwen3_moe", "Qwen3MoeExperts"),
    ("qwen3_next", "Qwen3NextExperts"),
    ("mixtral", "MixtralExperts"),
]


@torch.no_grad()
@pytest.mark.parametrize(("model", "name"), EXPERTS)
def test_experts(monkeypatch, model, name):
    found, kind = adapter(monkeypatch, model, name, Experts)
    weights, index = torch.randn(7, 4).softmax(-1).topk(2)
    with compared_calls(found) as calls:
        kind(torch.nn.SiLU())(torch.randn(7, 8), index, weights)
        kind(torch.nn.ReLU())(torch.randn(7, 8), index, weights)
    (call,) = calls
    torch.testing.assert_close(call.expected, call.got)
    assert torch.equal(call.inputs["top_k_index"], index)


NORMS = [
    ("llama", "LlamaRMSNorm"),
    ("mixtral", "MixtralRMSNorm"),
    ("qwen3", "Qwen3RMSNorm"),
    ("qwen3_moe", "Qwen3MoeRMSNorm"),
]


@torch.no_grad()
@pytest.mark.parametrize(("model", "name"), NORMS)
def test_norms(monkeypatch, model, name):
    found, kind = adapter(monkeypatch, model, name, Norm)
    with compared_calls(found) as calls:
        kind()(torch.randn(3, 8))
    torch.testing.assert_close(calls[0].expected, calls[0].got)


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "moe_intermediate_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 50,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}


@pytest.mark.long
@torch.no_grad()
@pytest.mark.parametrize("found", TRANSFORMERS_ADAPTERS, ids=lambda found: found.target)
def test_references_give_what_transformers_gives(found):
    transformers: Any = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(found.target.split(".")[2], **SIZES)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with compared_calls(found) as calls:
        model(torch.arange(12).reshape(2, 6))
    assert calls
    for call in calls:
        torch.testing.assert_close(call.expected, call.got)
