"""Mixture of experts in three Triton kernels: route, up and gate with SwiGLU, down.

Pairs of token and local expert are sorted by expert on the device, and each tile of pairs looks
its expert up, so nothing waits for the device: the grid is as large as the worst case needs, and
tiles beyond the last pair leave at once. The first product multiplies fp8 by fp8 and applies both
scales after every 128 terms; its result is kept in bfloat16, which holds fp8 weights exactly, for
the second. Results are added in float32, in no fixed order.
"""

import torch
import triton
import triton.language as tl

TOPK, BLOCK = 8, 128


@triton.jit
def _route(
    logits_ptr, bias_ptr, expert_ptr, share_ptr, factor,
    GROUPS: tl.constexpr, WIDTH: tl.constexpr, KEPT: tl.constexpr, CHOSEN: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    group = tl.arange(0, GROUPS)
    member = tl.arange(0, WIDTH)
    number = group[:, None] * WIDTH + member[None, :]
    affinity = tl.sigmoid(tl.load(logits_ptr + token * GROUPS * WIDTH + number))
    biased = affinity + tl.load(bias_ptr + number).to(tl.float32)
    lowest = float("-inf")
    second = tl.where(member[None, :] == tl.argmax(biased, axis=1)[:, None], lowest, biased)
    worth = tl.max(biased, axis=1) + tl.max(second, axis=1)
    for _ in tl.static_range(GROUPS - KEPT):
        dropped = group == tl.argmin(worth, axis=0)
        worth = tl.where(dropped, float("inf"), worth)
    candidates = tl.where((worth == float("inf"))[:, None], lowest, biased)
    candidates = tl.reshape(candidates, [GROUPS * WIDTH])
    affinity = tl.reshape(affinity, [GROUPS * WIDTH])
    index = tl.arange(0, GROUPS * WIDTH)
    slot = tl.arange(0, CHOSEN)
    experts = tl.zeros([CHOSEN], tl.int32)
    shares = tl.zeros([CHOSEN], tl.float32)
    for turn in tl.static_range(CHOSEN):
        best = tl.argmax(candidates, axis=0)
        share = tl.sum(tl.where(index == best, affinity, 0.0), axis=0)
        experts = tl.where(slot == turn, best, experts)
        shares = tl.where(slot == turn, share, shares)
        candidates = tl.where(index == best, lowest, candidates)
    shares = shares / (tl.sum(shares, axis=0) + 1e-20) * factor
    tl.store(expert_ptr + token * CHOSEN + slot, experts)
    tl.store(share_ptr + token * CHOSEN + slot, shares)


@triton.jit
def _tile_of(tile, first_tile_ptr, first_pair_ptr, EXPERTS: tl.constexpr, ROWS: tl.constexpr):
    """Expert of a tile, its rows among the sorted pairs, and which of them exist."""
    expert = tl.sum((tl.load(first_tile_ptr + tl.arange(0, EXPERTS)) <= tile).to(tl.int32)) - 1
    row = tl.load(first_pair_ptr + expert)
    row += (tile - tl.load(first_tile_ptr + expert)) * ROWS + tl.arange(0, ROWS)
    return expert, row, row < tl.load(first_pair_ptr + expert + 1)


@triton.jit
def _up_and_gate(
    hidden_ptr, hidden_scale_ptr, weight_ptr, scale_ptr, pair_ptr, first_tile_ptr, first_pair_ptr,
    inner_ptr, tokens, EXPERTS: tl.constexpr, HIDDEN: tl.constexpr, INNER: tl.constexpr,
    PER_TOKEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(1)
    if tile >= tl.load(first_tile_ptr + EXPERTS):
        return
    expert, row, exists = _tile_of(tile, first_tile_ptr, first_pair_ptr, EXPERTS, ROWS)
    token = (tl.load(pair_ptr + row, mask=exists, other=0) // PER_TOKEN).to(tl.int64)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    term = tl.arange(0, STEP)
    base = expert.to(tl.int64) * 2 * INNER
    steps: tl.constexpr = HIDDEN // STEP
    up_scale = scale_ptr + (base + tl.program_id(0) * COLUMNS) // STEP * steps
    gate_scale = up_scale + INNER // STEP * steps
    up = tl.zeros([ROWS, COLUMNS], tl.float32)
    gate = tl.zeros([ROWS, COLUMNS], tl.float32)
    for step in range(0, steps):
        at = step * STEP + term
        left = tl.load(
            hidden_ptr + token[:, None] * HIDDEN + at[None, :], mask=exists[:, None], other=0.0
        )
        left_scale = tl.load(hidden_scale_ptr + step * tokens + token, mask=exists, other=0.0)
        first = tl.load(weight_ptr + (base + column)[:, None] * HIDDEN + at[None, :])
        second = tl.load(weight_ptr + (base + INNER + column)[:, None] * HIDDEN + at[None, :])
        up += tl.dot(left, tl.trans(first)) * (left_scale * tl.load(up_scale + step))[:, None]
        gate += tl.dot(left, tl.trans(second)) * (left_scale * tl.load(gate_scale + step))[:, None]
    inner = gate * tl.sigmoid(gate) * up
    place = inner_ptr + row.to(tl.int64)[:, None] * INNER + column[None, :]
    tl.store(place, inner.to(inner_ptr.dtype.element_ty), mask=exists[:, None])


@triton.jit
def _down(
    inner_ptr, weight_ptr, scale_ptr, pair_ptr, share_ptr, first_tile_ptr, first_pair_ptr,
    total_ptr, EXPERTS: tl.constexpr, HIDDEN: tl.constexpr, INNER: tl.constexpr,
    PER_TOKEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(1)
    if tile >= tl.load(first_tile_ptr + EXPERTS):
        return
    expert, row, exists = _tile_of(tile, first_tile_ptr, first_pair_ptr, EXPERTS, ROWS)
    pair = tl.load(pair_ptr + row, mask=exists, other=0).to(tl.int64)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    term = tl.arange(0, STEP)
    base = expert.to(tl.int64) * HIDDEN
    steps: tl.constexpr = INNER // STEP
    block_scale = scale_ptr + (base + tl.program_id(0) * COLUMNS) // STEP * steps
    result = tl.zeros([ROWS, COLUMNS], tl.float32)
    for step in range(0, steps):
        at = step * STEP + term
        left = tl.load(
            inner_ptr + row.to(tl.int64)[:, None] * INNER + at[None, :],
            mask=exists[:, None], other=0.0,
        )  # fmt: skip
        right = tl.load(weight_ptr + (base + column)[:, None] * INNER + at[None, :])
        right = right.to(tl.bfloat16)
        result += tl.dot(left, tl.trans(right)) * tl.load(block_scale + step)
    result *= tl.load(share_ptr + pair, mask=exists, other=0.0)[:, None]
    place = total_ptr + (pair // PER_TOKEN)[:, None] * HIDDEN + column[None, :]
    tl.atomic_add(place, result, mask=exists[:, None], sem="relaxed")


def _plan(experts, offset, count, rows):
    """Pairs sorted by local expert, and where each expert's pairs and tiles begin."""
    local = experts.flatten() - offset
    local = torch.where((local >= 0) & (local < count), local, count)
    pairs = torch.argsort(local, stable=True).to(torch.int32)
    held = (local[:, None] == torch.arange(count, device=local.device)).sum(dim=0)
    first = torch.zeros(2, count + 1, dtype=torch.int32, device=local.device)
    torch.cumsum(held, 0, dtype=torch.int32, out=first[0, 1:])
    torch.cumsum((held + rows - 1) // rows, 0, dtype=torch.int32, out=first[1, 1:])
    return pairs, first[0], first[1]


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
    """Writes output; every tensor is contiguous."""
    tokens, hidden = hidden_states.shape
    if tokens == 0:
        return
    count, inner_size, device = gemm1_weights.shape[0], gemm2_weights.shape[2], output.device
    experts = torch.empty(tokens, TOPK, dtype=torch.int32, device=device)
    shares = torch.empty(tokens, TOPK, dtype=torch.float32, device=device)
    _route[(tokens,)](
        routing_logits, routing_bias, experts, shares, routed_scaling_factor,
        GROUPS=8, WIDTH=routing_logits.shape[1] // 8, KEPT=4, CHOSEN=TOPK, num_warps=1,
    )  # fmt: skip
    rows, columns = 64 if tokens > 256 else 16, 64
    pairs, first_pair, first_tile = _plan(experts, local_expert_offset, count, rows)
    tiles = min(tokens * TOPK, count) + tokens * TOPK // rows
    inner = torch.empty(tokens * TOPK, inner_size, dtype=torch.bfloat16, device=device)
    total = torch.zeros(tokens, hidden, dtype=torch.float32, device=device)
    shape = {
        "EXPERTS": count, "HIDDEN": hidden, "INNER": inner_size, "PER_TOKEN": TOPK, "ROWS": rows,
        "COLUMNS": columns, "STEP": BLOCK, "num_warps": 4, "num_stages": 3,
    }  # fmt: skip
    _up_and_gate[(inner_size // columns, tiles)](
        hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale, pairs, first_tile,
        first_pair, inner, tokens, **shape,
    )  # fmt: skip
    _down[(hidden // columns, tiles)](
        inner, gemm2_weights, gemm2_weights_scale, pairs, shares, first_tile, first_pair, total,
        **shape,
    )  # fmt: skip
    output.copy_(total)
