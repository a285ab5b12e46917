"""Inputs of the mixture of experts: routing, quantised activations and block-scaled fp8 weights.

For the judge only. Which experts the published workloads' tokens select is not known; here the
local ones are as likely as all others, so that a token selects one of them on average, and at least
one token does. The typical bias makes some experts popular with all tokens; even_routing has none,
so that more local experts are selected, by few tokens each. No selection hangs on a rounding:
tokens whose choice is nearly tied are drawn again, for two right kernels could then differ.

Activations are quantised for real, one scale per token and 128 channels. Weights are what
quantising normal weights gives: e4m3 values of the right spread, and scales around the block's
largest value over 448. They are drawn by Philox, which gives the same values on every device and
fills a GPU's memory about as fast as it can be written. On a CPU a run of four million is drawn and
repeated, since 1.4 billion would take a minute. Gate weights are scaled down so that SiLU works
where it bends, up weights are not, so that outputs are in the thousands and the contest's absolute
tolerance of 1 forgives nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

FAMILIES = (
    "typical",
    "signed_scales",
    "all_local",
    "none_local",
    "one_busy_expert",
    "negative_selection",
    "heavy_activations",
    "even_routing",
)
"""How inputs are drawn; the first is what workloads are timed on.

signed_scales is what FlashInfer-Trace draws for a random scale: normal, so of either sign. The gate
is then not scaled down. even_routing has no bias: every expert is equally likely, as in a model
whose load is balanced.
"""

REWRITE_PARTLY = ("gemm1_weights", "gemm2_weights")
"""Inputs too large to redraw for each call; `rewrite` changes some of their rows."""

DIMENSIONS = {
    "num_experts": 256,
    "num_local_experts": 32,
    "hidden_size": 7168,
    "intermediate_size": 2048,
}
NUM_GROUPS, KEPT_GROUPS, TOPK, BLOCK = 8, 4, 8, 128
MARGIN = 1e-4
"""Least distance, in biased affinity, between what a token selects and what it does not."""
DISTINCT_VALUES = 1 << 22
REWRITTEN_ROWS = 256
_E4M3_MAX = 448.0
_BLOCK_AMAX = 4.2
_SPREAD = _E4M3_MAX / _BLOCK_AMAX
"""Of quantised weights, whose blocks' largest value is 448."""
_ACTIVATION = 2.0
_REDRAWS = 200
_BIAS_SPREAD = 0.1
"""Enough that a kernel which lets the bias into the weights is seen to be wrong."""


def generate(
    axes: Mapping[str, int],
    *,
    structure: Mapping[str, Any] | None,
    scalars: Mapping[str, Any] | None,
    generator: torch.Generator,
    device: torch.device | str,
    family: str = "typical",
    philox: Any = None,
) -> dict[str, torch.Tensor | float | int]:
    """Draws one set of inputs.

    Args:
        axes: seq_len; the constants of the definition may be overridden.
        structure: not needed.
        scalars: local_expert_offset and routed_scaling_factor.
        generator: all randomness comes from it, but for what `philox` draws.
        device: where the tensors are to be.
        family: one of `FAMILIES`.
        philox: draws the weights; without it the generator does, as for earlier records.

    Returns:
        The inputs by name, in the definition's order.

    Raises:
        ValueError: for an unknown family.
    """
    if family not in FAMILIES:
        raise ValueError(f"Unknown family {family!r}; known: {', '.join(FAMILIES)}")
    sizes = DIMENSIONS | dict(axes)
    given = scalars or {}
    offset = int(given.get("local_expert_offset", 0))
    logits, bias = _routing(sizes, offset, generator, family)
    hidden, hidden_scale = _activations(sizes, generator, family)
    local, width = sizes["num_local_experts"], sizes["hidden_size"]
    inner = sizes["intermediate_size"]
    tensors = {
        "routing_logits": logits,
        "routing_bias": bias,
        "hidden_states": hidden,
        "hidden_states_scale": hidden_scale,
        "gemm1_weights": _weight_values(
            "gemm1_weights", (local, 2 * inner, width), generator, philox
        ),
        "gemm1_weights_scale": _first_scales(sizes, generator, family),
        "gemm2_weights": _weight_values("gemm2_weights", (local, width, inner), generator, philox),
        "gemm2_weights_scale": _block_scales((local, width, inner), generator, family),
    }
    inputs: dict[str, torch.Tensor | float | int] = {
        name: tensor.to(device) for name, tensor in tensors.items()
    }
    inputs["local_expert_offset"] = offset
    inputs["routed_scaling_factor"] = float(given.get("routed_scaling_factor", 2.5))
    return inputs


def rewrite(
    inputs: Mapping[str, Any],
    generator: torch.Generator,
    *,
    axes: Mapping[str, int],
    structure: Mapping[str, Any] | None,
    family: str = "typical",
) -> None:
    """Refreshes inputs in place: all small ones, and some rows of the weights.

    The scales of all weights are redrawn, so every product changes although few bytes do.

    Args:
        inputs: what `generate` returned; tensors keep their addresses.
        generator: all randomness comes from it.
        axes: as for `generate`.
        structure: not needed; the offset is among the inputs.
        family: that of the inputs.
    """
    sizes = DIMENSIONS | dict(axes)
    logits, bias = _routing(sizes, int(inputs["local_expert_offset"]), generator, family)
    hidden, hidden_scale = _activations(sizes, generator, family)
    fresh = {
        "routing_logits": logits,
        "routing_bias": bias,
        "hidden_states": hidden,
        "hidden_states_scale": hidden_scale,
        "gemm1_weights_scale": _first_scales(sizes, generator, family),
        "gemm2_weights_scale": _block_scales(
            tuple(inputs["gemm2_weights"].shape), generator, family
        ),
    }
    for name, tensor in fresh.items():
        inputs[name].copy_(tensor)
    for name in REWRITE_PARTLY:
        rows = inputs[name].view(torch.uint8).flatten(0, 1)
        count = min(REWRITTEN_ROWS, rows.shape[0])
        places = torch.randperm(rows.shape[0], generator=generator, device=generator.device)[:count]
        values = _fp8_normal((count, rows.shape[1]), generator).view(torch.uint8)
        rows.index_copy_(0, places.to(rows.device), values.to(rows.device))


def _routing(
    sizes: Mapping[str, int], offset: int, generator: torch.Generator, family: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and bias whose selections are clear, with at least one local one unless asked not."""
    tokens, experts, place = sizes["seq_len"], sizes["num_experts"], generator.device
    bias = _BIAS_SPREAD * torch.randn(experts, generator=generator, device=place)
    local = slice(offset, min(offset + sizes["num_local_experts"], experts))
    if family == "even_routing":
        bias.zero_()
    elif family == "all_local":
        bias[local] += 1.0
    elif family == "none_local":
        bias[local] -= 3.0
    elif family == "one_busy_expert":
        bias[local.start + (local.stop - local.start) // 2] += 2.0
    elif family == "negative_selection":
        bias -= 2.0
    bias = bias.bfloat16()
    logits = torch.randn(tokens, experts, generator=generator, device=place)
    for _ in range(_REDRAWS):
        clear, selected = _selection(logits, bias)
        unclear = torch.nonzero(~clear).flatten()
        if unclear.numel() == 0:
            hits = (selected >= local.start) & (selected < local.stop)
            if family == "none_local" or tokens == 0 or bool(hits.any()):
                break
            unclear = torch.randint(tokens, (1,), generator=generator, device=place)
        redrawn = torch.randn(unclear.numel(), experts, generator=generator, device=place)
        logits[unclear] = redrawn
    return logits, bias


def _selection(logits: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether each token's choice is clear of ties by `MARGIN`, and the experts it selects."""
    biased = torch.sigmoid(logits) + bias.float()
    grouped = biased.unflatten(1, (NUM_GROUPS, -1))
    worth = torch.topk(grouped, 2, dim=2).values.sum(dim=2)
    groups = torch.topk(worth, KEPT_GROUPS + 1, dim=1)
    clear = groups.values[:, -2] - groups.values[:, -1] > MARGIN
    kept = torch.zeros_like(worth, dtype=torch.bool)
    kept.scatter_(1, groups.indices[:, :KEPT_GROUPS], True)
    candidates = grouped.masked_fill(~kept[:, :, None], -math.inf).flatten(1)
    best = torch.topk(candidates, TOPK + 1, dim=1)
    clear &= best.values[:, -2] - best.values[:, -1] > MARGIN
    return clear, best.indices[:, :TOPK]


def _activations(
    sizes: Mapping[str, int], generator: torch.Generator, family: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """e4m3 activations [tokens, hidden] and their scales [blocks, tokens]."""
    tokens, width = sizes["seq_len"], sizes["hidden_size"]
    values = torch.empty(tokens, width // BLOCK, BLOCK, device=generator.device)
    values.normal_(0.0, _ACTIVATION, generator=generator)
    if family == "heavy_activations":
        values *= values.abs().square()
    scales = values.abs().amax(dim=2).clamp_min(1e-10) / _E4M3_MAX
    quantised = (values / scales[:, :, None]).to(torch.float8_e4m3fn).view(tokens, width)
    if family == "signed_scales":
        scales *= torch.randn(scales.shape, generator=generator, device=generator.device)
    return quantised, scales.T.contiguous()


def _fp8_normal(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """What normal weights look like once quantised by blocks whose largest value is 448."""
    values = torch.empty(shape, device=generator.device)
    values.normal_(0.0, _SPREAD, generator=generator)
    return values.clamp_(-_E4M3_MAX, _E4M3_MAX).to(torch.float8_e4m3fn)


def _weight_values(
    name: str, shape: tuple[int, int, int], generator: torch.Generator, philox: Any
) -> torch.Tensor:
    """fp8 weights; on a CPU a run of values repeated, out of step with the rows."""
    place = generator.device
    whole = place.type != "cpu" or math.prod(shape) <= DISTINCT_VALUES
    if philox is not None and whole:
        return philox.normal_e4m3(name, shape, _SPREAD)
    weights = torch.empty(shape, dtype=torch.float8_e4m3fn, device=place)
    if whole:
        for expert in weights:
            expert.copy_(_fp8_normal(tuple(expert.shape), generator))
        return weights
    few = (DISTINCT_VALUES,)
    run = philox.normal_e4m3(name, few, _SPREAD) if philox else _fp8_normal(few, generator)
    flat, run = weights.view(torch.uint8).flatten(), run.view(torch.uint8)
    for start in range(0, flat.numel(), DISTINCT_VALUES):
        part = flat[start : start + DISTINCT_VALUES]
        part.copy_(run[: part.numel()])
    return weights


def _block_scales(
    shape: tuple[int, int, int], generator: torch.Generator, family: str
) -> torch.Tensor:
    """Scales per 128 x 128 block for weights of unit spread, which differ a little by block."""
    blocks = (shape[0], shape[1] // BLOCK, shape[2] // BLOCK)
    unit = _BLOCK_AMAX / _E4M3_MAX
    if family == "signed_scales":
        return unit * torch.randn(blocks, generator=generator, device=generator.device)
    spread = torch.rand(blocks, generator=generator, device=generator.device)
    return unit * (0.7 + 0.6 * spread)


def _first_scales(
    sizes: Mapping[str, int], generator: torch.Generator, family: str
) -> torch.Tensor:
    """Scales of the up and gate projections; the gate's keep its sums at a few units."""
    shape = (sizes["num_local_experts"], 2 * sizes["intermediate_size"], sizes["hidden_size"])
    scales = _block_scales(shape, generator, family)
    if family != "signed_scales":
        scales[:, scales.shape[1] // 2 :] /= math.sqrt(sizes["hidden_size"])
    return scales
