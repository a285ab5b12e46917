"""PyTorch alone: route all tokens at once, then one gated network per expert that is selected.

Weights are turned into bfloat16 expert by expert, so their products run on tensor cores; only
selected experts are touched, and to learn which they are it waits for the device once.
"""

import torch

NUM_GROUPS, KEPT_GROUPS, TOPK, BLOCK = 8, 4, 8, 128


def _route(logits, bias, factor):
    affinity = torch.sigmoid(logits)
    biased = (affinity + bias.float()).unflatten(1, (NUM_GROUPS, -1))
    worth = biased.topk(2, dim=2).values.sum(dim=2)
    kept = torch.zeros_like(worth, dtype=torch.bool)
    kept.scatter_(1, worth.topk(KEPT_GROUPS, dim=1).indices, True)
    candidates = biased.masked_fill(~kept[:, :, None], torch.finfo(torch.float32).min)
    experts = candidates.flatten(1).topk(TOPK, dim=1).indices
    shares = affinity.gather(1, experts)
    return experts, shares / (shares.sum(dim=1, keepdim=True) + 1e-20) * factor


def _dequantised(values, scales):
    rows, width = values.shape
    blocks = values.to(torch.bfloat16).view(rows // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return (blocks * scales[:, None, :, None].to(torch.bfloat16)).view(rows, width)


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
    output,
):
    experts, shares = _route(routing_logits, routing_bias, routed_scaling_factor)
    tokens, width = hidden_states.shape
    blocks = hidden_states.float().view(tokens, width // BLOCK, BLOCK)
    activations = (blocks * hidden_states_scale.T[:, :, None]).view(tokens, width).bfloat16()
    total = torch.zeros(tokens, width, device=output.device)
    local = experts - local_expert_offset
    inside = (local >= 0) & (local < gemm1_weights.shape[0])
    token, place = torch.nonzero(inside, as_tuple=True)
    order = torch.argsort(local[token, place], stable=True)
    token, place = token[order], place[order]
    share = shares[token, place][:, None]
    found, counts = torch.unique_consecutive(local[token, place], return_counts=True)
    start = 0
    for expert, count in zip(found.tolist(), counts.tolist(), strict=True):
        mine = token[start : start + count]
        first = _dequantised(gemm1_weights[expert], gemm1_weights_scale[expert])
        up, gate = (activations[mine] @ first.T).float().chunk(2, dim=1)
        inner = (torch.nn.functional.silu(gate) * up).bfloat16()
        second = _dequantised(gemm2_weights[expert], gemm2_weights_scale[expert])
        total.index_add_(0, mine, share[start : start + count] * (inner @ second.T).float())
        start += count
    output.copy_(total)
