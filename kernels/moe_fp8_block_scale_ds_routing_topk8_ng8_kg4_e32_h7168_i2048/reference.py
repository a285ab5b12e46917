import torch

NUM_GROUPS, KEPT_GROUPS, TOPK, BLOCK = 8, 4, 8, 128


def routing_weights(logits, bias, factor):
    """Weight of each expert for each token, zero where not selected: [tokens, experts] float32.

    The bias takes part in the selection only. A group is worth the sum of its two best experts;
    the weights of the eight selected experts are normalised wherever those experts live.
    """
    affinity = torch.sigmoid(logits.float())
    biased = affinity + bias.float()
    grouped = biased.unflatten(1, (NUM_GROUPS, -1))
    worth = grouped.topk(2, dim=-1).values.sum(dim=-1)
    kept = torch.zeros_like(worth).scatter(1, worth.topk(KEPT_GROUPS, dim=-1).indices, 1.0)
    hidden = kept[..., None].expand_as(grouped).flatten(1) == 0
    candidates = biased.masked_fill(hidden, torch.finfo(torch.float32).min)
    selected = candidates.topk(TOPK, dim=-1).indices
    chosen = affinity.gather(1, selected)
    chosen = chosen / (chosen.sum(dim=-1, keepdim=True) + 1e-20) * factor
    return torch.zeros_like(affinity).scatter(1, selected, chosen)


def dequantise(values, scales):
    """float32 values of an fp8 matrix with one scale per 128 x 128 block."""
    return values.float() * scales.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)


@torch.no_grad()
def run(
    routing_logits,
    routing_bias,
    hidden_states,
    hidden_states_scale,
    gemm1_weights,
    gemm1_weights_scale,
    gemm2_weights,
    gemm2_weights_scale,
    local_expert_offset,
    routed_scaling_factor,
):
    """Mixture of experts on one rank: routing, gated feed-forward network, weighted sum.

    The first half of gemm1's rows is the up projection, the second the gate. Everything after the
    stored fp8 values is float32; only the result is rounded.
    """
    weights = routing_weights(routing_logits, routing_bias, routed_scaling_factor)
    activations = hidden_states.float()
    activations = activations * hidden_states_scale.T.repeat_interleave(BLOCK, 1)
    output = torch.zeros_like(activations)
    for local in range(gemm1_weights.shape[0]):
        expert = int(local_expert_offset) + local
        if not 0 <= expert < weights.shape[1]:
            continue
        tokens = torch.nonzero(weights[:, expert]).flatten()
        if tokens.numel() == 0:
            continue
        up_gate = dequantise(gemm1_weights[local], gemm1_weights_scale[local])
        up, gate = (activations[tokens] @ up_gate.T).chunk(2, dim=1)
        inner = torch.nn.functional.silu(gate) * up
        down = dequantise(gemm2_weights[local], gemm2_weights_scale[local])
        output[tokens] += weights[tokens, expert, None] * (inner @ down.T)
    return output.to(torch.bfloat16)
