"""Sparse latent attention in two Triton kernels: partial softmax per slice of places, then merge.

A program takes one token and one slice of its places, and leaves at once where no place is used,
so that padding costs a read of the indices only. All 16 heads share each gathered row, which is
key and value at once. Logits are kept in base 2, as the log-sum-exp is due in base 2.
"""

import math

import torch
import triton
import triton.language as tl


@triton.jit
def _attend_slice(
    q_nope_ptr, q_pe_ptr, ckv_ptr, kpe_ptr, indices_ptr, mixed_ptr, top_ptr, total_ptr, scale,
    TOPK: tl.constexpr, SPLITS: tl.constexpr, HEADS: tl.constexpr, LATENT: tl.constexpr,
    ROTARY: tl.constexpr, BLOCK: tl.constexpr, OPERAND: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    split = tl.program_id(1)
    head = tl.arange(0, HEADS)
    lane = tl.arange(0, LATENT)
    turn = tl.arange(0, ROTARY)
    at = (token * HEADS + head)[:, None]
    query = tl.load(q_nope_ptr + at * LATENT + lane[None, :]).to(OPERAND)
    query_pe = tl.load(q_pe_ptr + at * ROTARY + turn[None, :]).to(OPERAND)

    top = tl.full([HEADS], float("-inf"), tl.float32)
    total = tl.zeros([HEADS], tl.float32)
    mixed = tl.zeros([HEADS, LATENT], tl.float32)
    for start in range(split * (TOPK // SPLITS), (split + 1) * (TOPK // SPLITS), BLOCK):
        row = tl.load(indices_ptr + token * TOPK + start + tl.arange(0, BLOCK))
        used = row >= 0
        if tl.max(used.to(tl.int32), axis=0) > 0:
            place = tl.where(used, row, 0).to(tl.int64)
            latent = tl.load(
                ckv_ptr + place[:, None] * LATENT + lane[None, :], mask=used[:, None], other=0.0
            ).to(OPERAND)
            position = tl.load(
                kpe_ptr + place[:, None] * ROTARY + turn[None, :], mask=used[:, None], other=0.0
            ).to(OPERAND)
            logits = tl.dot(query, tl.trans(latent))
            logits = tl.dot(query_pe, tl.trans(position), logits) * scale
            logits = tl.where(used[None, :], logits, float("-inf"))
            new_top = tl.maximum(top, tl.max(logits, axis=1))
            weights = tl.exp2(logits - new_top[:, None])
            fade = tl.exp2(top - new_top)
            total = total * fade + tl.sum(weights, axis=1)
            mixed = tl.dot(weights.to(OPERAND), latent, mixed * fade[:, None])
            top = new_top

    part = (token * SPLITS + split) * HEADS + head
    tl.store(top_ptr + part, top)
    tl.store(total_ptr + part, total)
    if tl.max(total, axis=0) > 0:
        tl.store(mixed_ptr + part[:, None] * LATENT + lane[None, :], mixed)


@triton.jit
def _merge(
    mixed_ptr, top_ptr, total_ptr, output_ptr, lse_ptr,
    SPLITS: tl.constexpr, HEADS: tl.constexpr, LATENT: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    part = (token * SPLITS + tl.arange(0, SPLITS)) * HEADS + head
    lane = tl.arange(0, LATENT)
    top = tl.load(top_ptr + part)
    total = tl.load(total_ptr + part)
    used = total > 0
    highest = tl.max(top, axis=0)
    anchor = tl.where(highest == float("-inf"), 0.0, highest)
    share = tl.where(used, tl.exp2(top - anchor), 0.0)
    whole = tl.sum(share * total, axis=0)
    mixed = tl.load(
        mixed_ptr + part[:, None] * LATENT + lane[None, :], mask=used[:, None], other=0.0
    )
    divisor = tl.where(whole > 0, whole, 1.0)
    answer = tl.sum(mixed * share[:, None], axis=0) / divisor
    at = token * HEADS + head
    tl.store(output_ptr + at * LATENT + lane, answer.to(output_ptr.dtype.element_ty))
    tl.store(lse_ptr + at, tl.where(whole > 0, tl.log2(divisor) + anchor, float("-inf")))


def run(q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale, output, lse):
    """Writes output and lse; every tensor is contiguous."""
    tokens, heads, latent = q_nope.shape
    topk = sparse_indices.shape[1]
    if tokens == 0:
        return
    splits, block, operand = (16 if tokens <= 16 else 4), 32, tl.bfloat16
    scratch = {"dtype": torch.float32, "device": q_nope.device}
    mixed = torch.empty(tokens, splits, heads, latent, **scratch)
    top = torch.empty(tokens, splits, heads, **scratch)
    total = torch.empty(tokens, splits, heads, **scratch)
    _attend_slice[(tokens, splits)](
        q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, mixed, top, total,
        sm_scale * math.log2(math.e),
        TOPK=topk, SPLITS=splits, HEADS=heads, LATENT=latent, ROTARY=q_pe.shape[2], BLOCK=block,
        OPERAND=operand, num_warps=4, num_stages=2,
    )  # fmt: skip
    _merge[(tokens, heads)](
        mixed, top, total, output, lse, SPLITS=splits, HEADS=heads, LATENT=latent, num_warps=4,
    )  # fmt: skip
