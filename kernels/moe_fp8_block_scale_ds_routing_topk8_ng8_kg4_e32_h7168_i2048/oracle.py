"""Expected outputs of the mixture of experts, and those of a trusted fp8 kernel.

For the judge only: no candidate's process ever holds this file or what it computes. Only experts
that some token selected are touched. Products are float32, whose error is about 10,000 times
smaller than that of the fp8 intermediate which an honest kernel may use. It assumes that TF32 is
off, as it is by default, and that no selection hangs on a rounding: inputs.py sees to that.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

NUM_GROUPS, KEPT_GROUPS, TOPK, BLOCK = 8, 4, 8, 128
E4M3_MAX = 448.0


@torch.no_grad()
def oracle(
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
) -> dict[str, torch.Tensor]:
    """Computes the output in float32.

    Args:
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
        output [tokens, hidden] float32; zero for a token without a local expert.
    """
    experts, shares = _route(routing_logits, routing_bias, float(routed_scaling_factor))
    activations = _dequantised_rows(hidden_states, hidden_states_scale)
    weights = (gemm1_weights, gemm1_weights_scale, gemm2_weights, gemm2_weights_scale)
    output = _mixture(
        experts, shares, activations, weights, int(local_expert_offset), lambda inner: inner
    )
    return {"output": output}


@torch.no_grad()
def trusted(
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
) -> dict[str, torch.Tensor]:
    """Computes what an honest fp8 kernel does; its error sets the strict limit.

    As `oracle`, but the gated product is stored as e4m3 with one float32 scale per token and 128
    channels, so that the second product can run on fp8 operands too; bfloat16 result.

    Returns:
        output [tokens, hidden] bfloat16.
    """
    experts, shares = _route(routing_logits, routing_bias, float(routed_scaling_factor))
    activations = _dequantised_rows(hidden_states, hidden_states_scale)
    weights = (gemm1_weights, gemm1_weights_scale, gemm2_weights, gemm2_weights_scale)
    output = _mixture(
        experts, shares, activations, weights, int(local_expert_offset), _through_e4m3
    )
    return {"output": output.to(torch.bfloat16)}


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
    return (blocks * scales[:, None, :, None]).view(rows, width)


def _through_e4m3(inner: torch.Tensor) -> torch.Tensor:
    rows, width = inner.shape
    blocks = inner.view(rows, width // BLOCK, BLOCK)
    scales = blocks.abs().amax(dim=2, keepdim=True).clamp_min(1e-30) / E4M3_MAX
    return ((blocks / scales).to(torch.float8_e4m3fn).float() * scales).view(rows, width)


def _mixture(
    experts: torch.Tensor,
    shares: torch.Tensor,
    activations: torch.Tensor,
    weights: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    offset: int,
    stored: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Sum over the selected local experts; `stored` is what happens to inner values."""
    first, first_scale, second, second_scale = weights
    output = torch.zeros_like(activations)
    wanted = torch.unique(experts).tolist()
    for expert in wanted:
        local = expert - offset
        if not 0 <= local < first.shape[0]:
            continue
        tokens, places = torch.nonzero(experts == expert, as_tuple=True)
        joint = activations[tokens] @ _dequantised_blocks(first[local], first_scale[local]).T
        up, gate = joint.chunk(2, dim=1)
        inner = stored(gate * torch.sigmoid(gate) * up)
        partial = inner @ _dequantised_blocks(second[local], second_scale[local]).T
        output.index_add_(0, tokens, shares[tokens, places][:, None] * partial)
    return output
