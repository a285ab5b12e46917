"""Expected outputs of sparse latent attention, and those of a trusted bfloat16 kernel.

For the judge only: no candidate's process ever holds this file or what it computes. Vectorised
over tokens in slices, and touching only selected cache rows, so that it is quick on both devices.
It believes the inputs: an index outside the cache raises, as it does in the reference.
"""

from __future__ import annotations

import math

import torch

GATHERED_ELEMENTS = 1 << 27
"""Cache elements gathered at once; 1 GiB in double precision."""


@torch.no_grad()
def oracle(
    *,
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    sparse_indices: torch.Tensor,
    sm_scale: float,
) -> dict[str, torch.Tensor]:
    """Computes the outputs in double precision.

    Args:
        q_nope: [tokens, heads, latent] bfloat16.
        q_pe: [tokens, heads, rotary] bfloat16.
        ckv_cache: [pages, page size, latent] bfloat16, key and value at once.
        kpe_cache: [pages, page size, rotary] bfloat16.
        sparse_indices: [tokens, topk] int32 row numbers, -1 where unused.
        sm_scale: factor on the logits.

    Returns:
        output [tokens, heads, latent] and lse [tokens, heads] in base 2, both float32; zero and
        minus infinity for a token that selects no row.
    """
    parts = [
        _attend(q_nope[part], q_pe[part], ckv_cache, kpe_cache, sparse_indices[part], sm_scale)
        for part in _slices(sparse_indices, ckv_cache, kpe_cache)
    ]
    return _joined(parts, q_nope, torch.float32)


@torch.no_grad()
def trusted(
    *,
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    sparse_indices: torch.Tensor,
    sm_scale: float,
) -> dict[str, torch.Tensor]:
    """Computes what an honest tensor-core kernel does; its error sets the strict limit.

    bfloat16 operands with float32 accumulation, softmax in float32 without normalisation,
    probabilities rounded to bfloat16 before they meet the values, one division at the end. The
    arguments are those of `oracle`.

    Returns:
        output in bfloat16 and lse in float32.
    """
    parts = [
        _attend_rounded(
            q_nope[part], q_pe[part], ckv_cache, kpe_cache, sparse_indices[part], sm_scale
        )
        for part in _slices(sparse_indices, ckv_cache, kpe_cache)
    ]
    return _joined(parts, q_nope, torch.bfloat16)


def _slices(indices: torch.Tensor, ckv: torch.Tensor, kpe: torch.Tensor) -> list[slice]:
    per_token = max(indices.shape[1] * (ckv.shape[-1] + kpe.shape[-1]), 1)
    step = max(GATHERED_ELEMENTS // per_token, 1)
    return [slice(i, i + step) for i in range(0, indices.shape[0], step)]


def _joined(
    parts: list[tuple[torch.Tensor, torch.Tensor]], q_nope: torch.Tensor, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    if not parts:
        return {"output": q_nope.to(dtype), "lse": q_nope.new_empty(0, q_nope.shape[1]).float()}
    return {
        "output": torch.cat([output for output, _ in parts]).to(dtype),
        "lse": torch.cat([lse for _, lse in parts]).float(),
    }


def _gather(
    ckv: torch.Tensor, kpe: torch.Tensor, indices: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Selected rows [tokens, width, dim] and whether each is valid, trimmed to the widest token."""
    valid = indices != -1
    width = int(valid.sum(dim=1).max()) if indices.numel() else 0
    order = torch.argsort((~valid).to(torch.int8), dim=1, stable=True)[:, :width]
    valid = valid.gather(1, order)
    rows = torch.where(valid, indices.gather(1, order), 0).long()
    latent = ckv.reshape(-1, ckv.shape[-1])[rows].to(dtype)
    position = kpe.reshape(-1, kpe.shape[-1])[rows].to(dtype)
    return latent, position, valid


def _logits(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    latent: torch.Tensor,
    position: torch.Tensor,
    valid: torch.Tensor,
    sm_scale: float,
) -> torch.Tensor:
    content = torch.matmul(q_nope.to(latent.dtype), latent.transpose(1, 2))
    rotary = torch.matmul(q_pe.to(latent.dtype), position.transpose(1, 2))
    logits = (content + rotary) * sm_scale
    return logits.masked_fill(~valid[:, None, :], -math.inf)


def _attend(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv: torch.Tensor,
    kpe: torch.Tensor,
    indices: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    latent, position, valid = _gather(ckv, kpe, indices, torch.float64)
    logits = _logits(q_nope, q_pe, latent, position, valid, sm_scale)
    lse = torch.logsumexp(logits, dim=-1)
    weights = torch.exp(logits - lse[..., None])
    weights = torch.where(torch.isfinite(lse)[..., None], weights, 0.0)
    return torch.matmul(weights, latent), lse / math.log(2.0)


def _attend_rounded(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv: torch.Tensor,
    kpe: torch.Tensor,
    indices: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    latent, position, valid = _gather(ckv, kpe, indices, torch.float32)
    logits = _logits(q_nope, q_pe, latent, position, valid, sm_scale)
    if logits.shape[-1] == 0:
        lse = torch.full(logits.shape[:2], -math.inf, device=logits.device)
        return torch.zeros_like(q_nope, dtype=torch.float32), lse
    top = logits.amax(dim=-1, keepdim=True)
    top = torch.where(torch.isfinite(top), top, 0.0)
    weights = torch.exp(logits - top)
    total = weights.sum(dim=-1)
    lse = torch.log2(total) + top[..., 0] / math.log(2.0)
    mixed = torch.matmul(weights.bfloat16().float(), latent)
    return torch.where(total[..., None] > 0, mixed / total[..., None], 0.0), lse
