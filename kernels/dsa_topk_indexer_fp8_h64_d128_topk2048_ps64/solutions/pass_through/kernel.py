"""The top-k indexer: short sequences pass through, long ones are scored and sorted.

A sequence of at most 2048 tokens selects them all, so its block table is the answer. Whether a
longer one can exist is told by the block table's width alone: no wait for the device. Scores are
computed with bfloat16 operands, which hold every fp8 value exactly, and float32 sums.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _pass_through(
    seq_lens_ptr, table_ptr, chosen_ptr, width,
    TOPK: tl.constexpr, PAGE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < tl.load(seq_lens_ptr + row)
    page = tl.load(table_ptr + row * width + place // PAGE, mask=inside, other=0)
    token = tl.where(inside, page * PAGE + place % PAGE, -1)
    tl.store(chosen_ptr + row * TOPK + place, token)


@triton.jit
def _score(
    q_ptr, value_ptr, scale_ptr, weight_ptr, seq_lens_ptr, table_ptr, score_ptr, width,
    TOPK: tl.constexpr, PAGE: tl.constexpr, HEADS: tl.constexpr, SIZE: tl.constexpr,
    OPERAND: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    slot = tl.program_id(1)
    length = tl.load(seq_lens_ptr + row)
    offset = tl.arange(0, PAGE)
    inside = slot * PAGE + offset < length
    score = tl.where(inside, 0.0, float("-inf"))
    if (length > TOPK) & (slot * PAGE < length):
        page = tl.load(table_ptr + row * width + slot).to(tl.int64)
        head = tl.arange(0, HEADS)
        lane = tl.arange(0, SIZE)
        page_bytes: tl.constexpr = PAGE * (SIZE + 4)
        key = tl.load(value_ptr + page * page_bytes + offset[:, None] * SIZE + lane[None, :])
        query = tl.load(q_ptr + (row * HEADS + head)[:, None] * SIZE + lane[None, :])
        dots = tl.dot(key.to(OPERAND), tl.trans(query.to(OPERAND)))
        scale = tl.load(scale_ptr + (page * page_bytes + PAGE * SIZE) // 4 + offset)
        weight = tl.load(weight_ptr + row * HEADS + head)
        scored = tl.sum(tl.maximum(dots * scale[:, None], 0.0) * weight[None, :], axis=1)
        score = tl.where(inside, scored, float("-inf"))
    tl.store(score_ptr + (row * width + slot) * PAGE + offset, score)


@triton.jit
def _name_tokens(
    best_ptr, seq_lens_ptr, table_ptr, chosen_ptr, width,
    TOPK: tl.constexpr, PAGE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    position = tl.load(best_ptr + row * TOPK + place).to(tl.int32)
    inside = position < tl.load(seq_lens_ptr + row)
    page = tl.load(table_ptr + row * width + position // PAGE, mask=inside, other=0)
    token = tl.where(inside, page * PAGE + position % PAGE, -1)
    tl.store(chosen_ptr + row * TOPK + place, token)


def run(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table, topk_indices):
    """Writes topk_indices; every tensor is contiguous."""
    batch, heads, size = q_index_fp8.shape
    topk, width, page = topk_indices.shape[1], block_table.shape[1], k_index_cache_fp8.shape[1]
    if batch == 0:
        return
    block, operand = 512, tl.bfloat16
    grid = (batch, topk // block)
    if width * page <= topk:
        _pass_through[grid](
            seq_lens, block_table, topk_indices, width, TOPK=topk, PAGE=page, BLOCK=block,
            num_warps=4,
        )  # fmt: skip
        return
    raw = k_index_cache_fp8.view(-1)
    scores = torch.empty(batch, width * page, dtype=torch.float32, device=raw.device)
    _score[(batch, width)](
        q_index_fp8, raw.view(torch.float8_e4m3fn), raw.view(torch.float32), weights, seq_lens,
        block_table, scores, width, TOPK=topk, PAGE=page, HEADS=heads, SIZE=size,
        OPERAND=operand, num_warps=4,
    )  # fmt: skip
    best = torch.topk(scores, topk, dim=1, sorted=False).indices
    _name_tokens[grid](
        best, seq_lens, block_table, topk_indices, width, TOPK=topk, PAGE=page, BLOCK=block,
        num_warps=4,
    )  # fmt: skip
