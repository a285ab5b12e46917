"""Experts and norms of transformers' models, which read weights and settings of the module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .adapter import Adapter
from .torch_functions import RMS_NORM

EXPERTS = """\
def compute(hidden_states, top_k_index, top_k_weights, gate_up_proj, down_proj):
    result = torch.zeros_like(hidden_states)
    for expert in range(gate_up_proj.shape[0]):
        token, place = torch.where(top_k_index == expert)
        gate, up = (hidden_states[token] @ gate_up_proj[expert].t()).chunk(2, -1)
        found = (torch.nn.functional.silu(gate) * up) @ down_proj[expert].t()
        found = found * top_k_weights[token, place, None]
        result.index_add_(0, token, found.to(result.dtype))
    return result
"""
ACTIVATIONS = ("SiLU", "SiLUActivation")
"""Names of the classes that compute what the reference does."""


def _experts(
    module: Any,
    hidden_states: torch.Tensor,
    top_k_index: torch.Tensor,
    top_k_weights: torch.Tensor,
) -> Mapping[str, Any] | None:
    if type(module.act_fn).__name__ not in ACTIVATIONS:
        return None
    return {
        "hidden_states": hidden_states,
        "top_k_index": top_k_index,
        "top_k_weights": top_k_weights,
        "gate_up_proj": module.gate_up_proj,
        "down_proj": module.down_proj,
    }


def _norm(module: Any, hidden_states: torch.Tensor) -> Mapping[str, Any] | None:
    return {
        "input": hidden_states,
        "weight": module.weight,
        "eps": float(module.variance_epsilon),
    }


def _module(model: str, name: str) -> str:
    return f"transformers.models.{model}.modeling_{model}.{name}.forward"


TRANSFORMERS_ADAPTERS = (
    Adapter(_module("qwen3_moe", "Qwen3MoeExperts"), _experts, EXPERTS),
    Adapter(_module("qwen3_next", "Qwen3NextExperts"), _experts, EXPERTS),
    Adapter(_module("mixtral", "MixtralExperts"), _experts, EXPERTS),
    Adapter(_module("llama", "LlamaRMSNorm"), _norm, RMS_NORM),
    Adapter(_module("mixtral", "MixtralRMSNorm"), _norm, RMS_NORM),
    Adapter(_module("qwen3", "Qwen3RMSNorm"), _norm, RMS_NORM),
    Adapter(_module("qwen3_moe", "Qwen3MoeRMSNorm"), _norm, RMS_NORM),
)
