"""Expected outputs of the mixture of experts, and those of a trusted fp8 kernel.

For the judge only: no candidate's process ever holds this file or what it computes. Only experts
that some token selected are touched. Products are float32, whose error is about 10,000 times
smaller than that of the fp8 intermediate which an honest kernel may use. It assumes that TF32 is
off, as it is by default, and that no selection hangs on a rounding: inputs.py sees to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch

NUM_GROUPS, KEPT_GROUPS, TOPK, BLOCK = 8, 4, 8, 128
E4M3_MAX = 448.0


@torch.no_grad()
def oracle(**inputs: Any) -> dict[str, torch.Tensor]:
    """Computes the output in float32 from the operator's inputs.

    Returns:
        output [tokens, hidden] float32; zero for a token without a local expert.
    """
    return {"output": _mixtures([_as_it_is], **inputs)[0]}


@torch.no_grad()
def trusted(**inputs: Any) -> dict[str, torch.Tensor]:
    """Computes what an honest fp8 kernel does; its error sets the strict limit.

    As `oracle`, but the gated product is stored as e4m3 with one float32 scale per token and 128
    channels, so that the second product can run on fp8 operands too; bfloat16 result.

    Returns:
        output [tokens, hidden] bfloat16.
    """
    return {"output": _mixtures([_through_e4m3], **inputs)[0].to(torch.bfloat16)}


@torch.no_grad()
def oracle_and_trusted(
    **inputs: Any,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Computes what both do, which differs only behind the first product."""
    exact, usual = _mixtures([_as_it_is, _through_e4m3], **inputs)
    return {"output": exact}, {"output": usual.to(torch.bfloat16)}


def _route(
    logits: torch.Tensor, bias: torch.Tensor, factor: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Global expert numbers and weights of each token, both [tokens, TOPK]."""
    affinity = torch.sigmoid(logits.float())
    biased = affinity + bias.float()
    tokens, experts = biased.shape
    grouped = biased.view(tokens, NUM_GROUPS, experts // NUM_GROUPS)
    worth = torch.topk(grouped, 2, dim=2).values.sum(dim=2)
    dropped = torch.ones_like(worth, dtype=torch.bool)
    dropped.scatter_(1, torch.topk(worth, KEPT_GROUPS, dim=1).indices, False)
    lowest = torch.finfo(torch.float32).min
    candidates = grouped.masked_fill(dropped[:, :, None], lowest).view(tokens, experts)
    selected = torch.topk(candidates, TOPK, dim=1).indices
    shares = affinity.gather(1, selected)
    return selected, shares / (shares.sum(dim=1, keepdim=True) + 1e-20) * factor


def _dequantised_rows(values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """float32 activations from fp8 ones with a scale per row and block, blocks first."""
    rows, width = values.shape
    blocks = values.float().view(rows, width // BLOCK, BLOCK)
    return (blocks * scales.T[:, :, None]).view(rows, width)


def _dequantised_blocks(values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """float32 weights from fp8 ones with a scale per 128 x 128 block."""
    rows, width = values.shape
    blocks = values.float().view(rows // BLOCK, BLOCK, width // BLOCK, BLOCK)
    blocks *= scales[:, None, :, None]
    return blocks.view(rows, width)


def _as_it_is(inner: torch.Tensor) -> torch.Tensor:
    return inner


def _through_e4m3(inner: torch.Tensor) -> torch.Tensor:
    rows, width = inner.shape
    blocks = inner.view(rows, width // BLOCK, BLOCK)
    scales = blocks.abs().amax(dim=2, keepdim=True).clamp_min(1e-30) / E4M3_MAX
    return ((blocks / scales).to(torch.float8_e4m3fn).float() * scales).view(rows, width)


def _mixtures(
    stored: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    *,
    routing_logits: torch.Tensor,
    routing_bias: torch.Tensor,
    hidden_states: torch.Tensor,
    hidden_states_scale: torch.Tensor,
    gemm1_weights: torch.Tensor,
    gemm1_weights_scale: torch.Tensor,
    gemm2_weights: torch.Tensor,
    gemm2_weights_scale: torch.Tensor,
    local_expert_offset: int,
    routed_scaling_factor: float,
) -> list[torch.Tensor]:
    """Sums over the selected local experts, one for each way in which inner values are stored.

    Args:
        stored: what becomes of the gated product before it is multiplied.
        routing_logits: [tokens, experts] float32.
        routing_bias: [experts] bfloat16, for selection only.
        hidden_states: [tokens, hidden] e4m3.
        hidden_states_scale: [hidden / 128, tokens] float32.
        gemm1_weights: [local experts, 2 x intermediate, hidden] e4m3, up rows then gate rows.
        gemm1_weights_scale: one float32 scale per 128 x 128 block of them.
        gemm2_weights: [local experts, hidden, intermediate] e4m3.
        gemm2_weights_scale: one float32 scale per 128 x 128 block of them.
        local_expert_offset: global number of the first local expert.
        routed_scaling_factor: factor on the normalised weights.

    Returns:
        Each [tokens, hidden] float32.
    """
    experts, shares = _route(routing_logits, routing_bias, float(routed_scaling_factor))
    activations = _dequantised_rows(hidden_states, hidden_states_scale)
    outputs = [torch.zeros_like(activations) for _ in stored]
    local = experts - int(local_expert_offset)
    for expert, places in _selections(local, gemm1_weights.shape[0]):
        tokens, share = places // TOPK, shares.flatten()[places][:, None]
        first = _dequantised_blocks(gemm1_weights[expert], gemm1_weights_scale[expert])
        up, gate = (activations[tokens] @ first.T).chunk(2, dim=1)
        product = gate * torch.sigmoid(gate) * up
        second = _dequantised_blocks(gemm2_weights[expert], gemm2_weights_scale[expert])
        inner = torch.cat([store(product) for store in stored])
        partials = (inner @ second.T).chunk(len(stored))
        for output, partial in zip(outputs, partials, strict=True):
            output.index_add_(0, tokens, share * partial)
    return outputs


def _selections(local: torch.Tensor, count: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Each local expert that is selected, and where in the flattened selections it stands.

    The device is waited for once, not once for each expert.
    """
    ordered, order = torch.sort(local.flatten(), stable=True)
    numbers = torch.arange(count + 1, device=local.device)
    for expert, (begin, end) in enumerate(pairwise(torch.searchsorted(ordered, numbers).tolist())):
        if begin < end:
            yield expert, order[begin:end]
