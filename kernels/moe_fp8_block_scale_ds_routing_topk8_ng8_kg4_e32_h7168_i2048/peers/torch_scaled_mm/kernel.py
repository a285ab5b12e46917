"""PyTorch's block-scaled product of fp8 (cuBLASLt), one expert after the other.

Its scales are those of the operator: one per row and 128 columns, one per 128 x 128 block of the
weights. Rows are filled up to a multiple of 16. To learn which experts are selected it waits for
the device once.
"""

import torch

NUM_GROUPS, KEPT_GROUPS, TOPK, BLOCK = 8, 4, 8, 128
E4M3_MAX = 448.0
ROWS = 16


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


def _product(values, scales, weights, weight_scales):
    """Rows times weights^T in bfloat16; scales are stored columns first, as cuBLASLt wants them."""
    return torch._scaled_mm(
        values,
        weights.T,
        scale_a=scales.T.contiguous().T,
        scale_b=weight_scales.T,
        out_dtype=torch.bfloat16,
    )


def _gated(both):
    """SwiGLU of up and gate columns as e4m3, and a scale per row and 128 columns."""
    up, gate = both.float().chunk(2, dim=1)
    inner = (torch.nn.functional.silu(gate) * up).unflatten(1, (-1, BLOCK))
    scales = inner.abs().amax(dim=2, keepdim=True).clamp_min(1e-30) / E4M3_MAX
    return (inner / scales).to(torch.float8_e4m3fn).flatten(1), scales.squeeze(2)


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
    """Writes output; the rows that fill up repeat a token and are dropped."""
    experts, shares = _route(routing_logits, routing_bias, routed_scaling_factor)
    total = torch.zeros(output.shape, device=output.device)
    local = experts - local_expert_offset
    token, place = torch.nonzero((local >= 0) & (local < gemm1_weights.shape[0]), as_tuple=True)
    order = torch.argsort(local[token, place], stable=True)
    token, place = token[order], place[order]
    share = shares[token, place][:, None]
    found, counts = torch.unique_consecutive(local[token, place], return_counts=True)
    start = 0
    for expert, count in zip(found.tolist(), counts.tolist(), strict=True):
        mine = token[start : start + count]
        rows = torch.nn.functional.pad(mine, (0, -count % ROWS))
        values = hidden_states.view(torch.uint8)[rows].view(torch.float8_e4m3fn)
        scales = hidden_states_scale[:, rows].T
        both = _product(values, scales, gemm1_weights[expert], gemm1_weights_scale[expert])
        inner, scales = _gated(both)
        part = _product(inner, scales, gemm2_weights[expert], gemm2_weights_scale[expert])[:count]
        total.index_add_(0, mine, share[start : start + count] * part.float())
        start += count
    output.copy_(total)
