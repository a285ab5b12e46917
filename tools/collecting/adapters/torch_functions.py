"""Functions of torch that are written in C, or whose arguments say more than the operator needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .adapter import Adapter

ATTENTION = """\
def compute(query, key, value, scale, is_causal, enable_gqa, attn_mask=None):
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key = key.repeat_interleave(groups, -3)
        value = value.repeat_interleave(groups, -3)
    wide = [tensor.double() for tensor in (query, key, value)]
    scores = wide[0] @ wide[1].transpose(-1, -2) * scale
    if is_causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, float("-inf"))
    if attn_mask is not None:
        if attn_mask.dtype is torch.bool:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        else:
            scores = scores + attn_mask
    return (torch.softmax(scores, -1) @ wide[2]).to(query.dtype)
"""
LINEAR = """\
def compute(input, weight, bias=None):
    result = input.double() @ weight.double().t()
    if bias is not None:
        result = result + bias.double()
    return result.to(input.dtype)
"""
RMS_NORM = """\
def compute(input, weight, eps):
    wide = input.double()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    result = wide * scale
    if weight is not None:
        result = result * weight.double()
    return result.to(input.dtype)
"""


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Mapping[str, Any] | None:
    if dropout_p:
        return None
    found: dict[str, Any] = {"query": query, "key": key, "value": value}
    if attn_mask is not None:
        found["attn_mask"] = attn_mask
    found["scale"] = float(query.shape[-1] ** -0.5 if scale is None else scale)
    return found | {"is_causal": is_causal, "enable_gqa": enable_gqa}


def _linear(
    input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> Mapping[str, Any] | None:
    return {"input": input, "weight": weight} | ({} if bias is None else {"bias": bias})


def _rms_norm(
    input: torch.Tensor,
    normalized_shape: Any,
    weight: torch.Tensor | None = None,
    eps: float | None = None,
) -> Mapping[str, Any] | None:
    if len(normalized_shape) != 1:
        return None
    return {
        "input": input,
        "weight": weight,
        "eps": float(torch.finfo(input.dtype).eps if eps is None else eps),
    }


TORCH_ADAPTERS = (
    Adapter("torch.nn.functional.scaled_dot_product_attention", _attention, ATTENTION),
    Adapter("torch.nn.functional.linear", _linear, LINEAR),
    Adapter("torch.nn.functional.rms_norm", _rms_norm, RMS_NORM),
)
