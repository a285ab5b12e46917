"""DeepGEMM's grouped products of fp8 (package sgl-deep-gemm), the rest in PyTorch.

Rows are sorted by expert and each expert's are filled up to the alignment that the library names.
There is room for the most rows that so many tokens can need, and the library skips what is not
used, so that nothing waits for the device. The weights of pairs are factors of the second product's
scales, and one kernel sums the rows of each token. All but the two products is PyTorch's and
counts: a timeline shows the products alone. The library compiles its kernels at the first call of a
shape, nvcc some 15 s for each group of sizes on an H200, and keeps them in the user's home, which a
candidate has anew in every trial: a sample was not over after 95 s, and took 50 where the kernels
had been compiled. Give a trial that time (call_timeout_s, gpu_budget_s). DG_JIT_CACHE_DIR of your
shell does not reach a candidate, nor can it write outside its own folders.
By NVRTC, which DG_JIT_USE_NVRTC chooses, the driver refuses what it makes (CUDA 13.0: invalid
image).
"""

import torch

NUM_GROUPS, KEPT_GROUPS, TOPK, BLOCK = 8, 4, 8, 128
E4M3_MAX = 448.0


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


def _rows(experts, offset, count, alignment):
    """Token and share's place of each row, its expert, -1 where it only fills up; each pair's row.

    Pairs of other ranks' experts have the row behind the last.
    """
    local = experts.flatten() - offset
    local = torch.where((local >= 0) & (local < count), local, count)
    pairs, device = local.numel(), local.device
    held = (local[:, None] == torch.arange(count + 1, device=device)).sum(dim=0)
    padded = (held + alignment - 1) // alignment * alignment
    room = (pairs + min(pairs, count) * (alignment - 1)) // alignment * alignment
    order = torch.argsort(local, stable=True)
    expert = local[order]
    inside = torch.arange(pairs, device=device) - (held.cumsum(0) - held)[expert]
    row = (padded.cumsum(0) - padded)[expert] + inside
    row = torch.where(expert < count, row, room)
    place = torch.zeros(room + 1, dtype=torch.int64, device=device).scatter_(0, row, order)
    layout = torch.full((room + 1,), -1, dtype=torch.int32, device=device)
    layout.scatter_(0, row, expert.int())
    return place[:-1], layout[:-1], torch.empty_like(row).scatter_(0, order, row)


def _gated(both, share):
    """SwiGLU of up and gate columns as e4m3, and a scale times a share per row and 128 columns."""
    up, gate = both.chunk(2, dim=1)
    inner = torch.nn.functional.silu(gate.float()).mul_(up).unflatten(1, (-1, BLOCK))
    largest = torch.linalg.vector_norm(inner, ord=torch.inf, dim=2, keepdim=True)
    scales = largest.clamp_min(1e-30) / E4M3_MAX
    scaled = scales.squeeze(2) * share[:, None]
    return inner.div_(scales).to(torch.float8_e4m3fn).flatten(1), scaled.T.contiguous().T


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
    """Writes output; rows that only fill up add nothing to it."""
    # Imported here, so that a machine without the package learns its name at the call.
    import deep_gemm  # pyright: ignore[reportMissingImports]

    if hidden_states.shape[0] == 0:
        return
    experts, shares = _route(routing_logits, routing_bias, routed_scaling_factor)
    alignment = deep_gemm.get_mk_alignment_for_contiguous_layout()
    place, layout, row = _rows(experts, local_expert_offset, gemm1_weights.shape[0], alignment)
    token = place // TOPK
    values = hidden_states.view(torch.uint8)[token].view(torch.float8_e4m3fn)
    scales = hidden_states_scale[:, token].contiguous().T
    both = values.new_empty(len(token), gemm1_weights.shape[1], dtype=torch.bfloat16)
    deep_gemm.m_grouped_fp8_gemm_nt_contiguous(
        (values, scales), (gemm1_weights, gemm1_weights_scale), both, layout
    )
    # One row more, for pairs of other ranks' experts: it is named and never read.
    parts = both.new_empty(len(token) + 1, gemm2_weights.shape[1])
    deep_gemm.m_grouped_fp8_gemm_nt_contiguous(
        _gated(both, shares.flatten()[place]),
        (gemm2_weights, gemm2_weights_scale),
        parts[:-1],
        layout,
    )
    total = torch.nn.functional.embedding_bag(
        row.view(-1, TOPK), parts, mode="sum", padding_idx=len(token)
    )
    output.copy_(total)
