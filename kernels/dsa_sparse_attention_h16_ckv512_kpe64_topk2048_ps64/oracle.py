"""Expected outputs of sparse latent attention, and those of a trusted bfloat16 kernel.

For the judge only: no candidate's process ever holds this file or what it computes. Vectorised
over tokens in slices, and touching only selected cache rows, so that it is quick on both devices.
It believes the inputs: an index outside the cache raises, as it does in the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

GATHERED_ELEMENTS = 1 << 27
"""Cache elements gathered at once; 1 GiB in double precision."""


Outputs = dict[str, torch.Tensor]


@torch.no_grad()
def oracle(**inputs: Any) -> Outputs:
    """Computes the outputs in double precision.

    Args:
        inputs: those of the definition; `_computed` tells their shapes.

    Returns:
        output [tokens, heads, latent] and lse [tokens, heads] in base 2, both float32; zero and
        minus infinity for a token that selects no row.
    """
    return _computed([_attend], **inputs)[0]


@torch.no_grad()
def trusted(**inputs: Any) -> Outputs:
    """Computes what an honest tensor-core kernel does; its error sets the strict limit.

    bfloat16 operands with float32 accumulation, softmax in float32 without normalisation,
    probabilities rounded to bfloat16 before they meet the values, one division at the end. The
    arguments are those of `oracle`.

    Returns:
        output in bfloat16 and lse in float32.
    """
    return _declared(_computed([_attend_rounded], **inputs)[0])


@torch.no_grad()
def oracle_and_trusted(**inputs: Any) -> tuple[Outputs, Outputs]:
    """Computes what both do, from rows that are sought and gathered once."""
    exact, usual = _computed([_attend, _attend_rounded], **inputs)
    return exact, _declared(usual)


def _declared(outputs: Outputs) -> Outputs:
    return outputs | {"output": outputs["output"].bfloat16()}


class _Rows(NamedTuple):
    """Selected rows of the cache, as they lie there, trimmed to the widest token."""

    latent: torch.Tensor
    """[tokens, width, latent]"""
    position: torch.Tensor
    """[tokens, width, rotary]"""
    valid: torch.Tensor
    """[tokens, width] whether the token selects one there."""


Attend = Callable[[torch.Tensor, torch.Tensor, _Rows, float], tuple[torch.Tensor, torch.Tensor]]


def _computed(
    ways: Sequence[Attend],
    *,
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    sparse_indices: torch.Tensor,
    sm_scale: float,
) -> list[Outputs]:
    """Both outputs in float32, one pair for each way to compute them.

    Args:
        ways: what becomes of a slice of tokens and their rows.
        q_nope: [tokens, heads, latent] bfloat16.
        q_pe: [tokens, heads, rotary] bfloat16.
        ckv_cache: [pages, page size, latent] bfloat16, key and value at once.
        kpe_cache: [pages, page size, rotary] bfloat16.
        sparse_indices: [tokens, topk] int32 row numbers, -1 where unused.
        sm_scale: factor on the logits.
    """
    nothing = q_nope[:0].float(), q_nope.new_empty(0, q_nope.shape[1]).float()
    parts: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[nothing] for _ in ways]
    for part in _slices(sparse_indices, ckv_cache, kpe_cache):
        rows = _gather(ckv_cache, kpe_cache, sparse_indices[part])
        for found, attend in zip(parts, ways, strict=True):
            found.append(attend(q_nope[part], q_pe[part], rows, sm_scale))
    joined = [[torch.cat(pieces).float() for pieces in zip(*found, strict=True)] for found in parts]
    return [{"output": output, "lse": lse} for output, lse in joined]


def _slices(indices: torch.Tensor, ckv: torch.Tensor, kpe: torch.Tensor) -> list[slice]:
    per_token = max(indices.shape[1] * (ckv.shape[-1] + kpe.shape[-1]), 1)
    step = max(GATHERED_ELEMENTS // per_token, 1)
    return [slice(i, i + step) for i in range(0, indices.shape[0], step)]


def _gather(ckv: torch.Tensor, kpe: torch.Tensor, indices: torch.Tensor) -> _Rows:
    valid = indices != -1
    width = int(valid.sum(dim=1).max()) if indices.numel() else 0
    order = torch.argsort((~valid).to(torch.int8), dim=1, stable=True)[:, :width]
    valid = valid.gather(1, order)
    rows = torch.where(valid, indices.gather(1, order), 0).long()
    latent, position = (cache.reshape(-1, cache.shape[-1])[rows] for cache in (ckv, kpe))
    return _Rows(latent, position, valid)


def _logits(q_nope: torch.Tensor, q_pe: torch.Tensor, rows: _Rows, sm_scale: float) -> torch.Tensor:
    """[tokens, heads, width], in the dtype of the rows."""
    content = torch.matmul(q_nope.to(rows.latent.dtype), rows.latent.transpose(1, 2))
    rotary = torch.matmul(q_pe.to(rows.latent.dtype), rows.position.transpose(1, 2))
    logits = (content + rotary) * sm_scale
    return logits.masked_fill(~rows.valid[:, None, :], -math.inf)


def _attend(
    q_nope: torch.Tensor, q_pe: torch.Tensor, rows: _Rows, sm_scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    exact = rows._replace(latent=rows.latent.double(), position=rows.position.double())
    logits = _logits(q_nope, q_pe, exact, sm_scale)
    lse = torch.logsumexp(logits, dim=-1)
    weights = torch.exp(logits - lse[..., None])
    weights = torch.where(torch.isfinite(lse)[..., None], weights, 0.0)
    return torch.matmul(weights, exact.latent), lse / math.log(2.0)


def _attend_rounded(
    q_nope: torch.Tensor, q_pe: torch.Tensor, rows: _Rows, sm_scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    rows = rows._replace(latent=rows.latent.float(), position=rows.position.float())
    logits = _logits(q_nope, q_pe, rows, sm_scale)
    if logits.shape[-1] == 0:
        lse = torch.full(logits.shape[:2], -math.inf, device=logits.device)
        return torch.zeros_like(q_nope, dtype=torch.float32), lse
    top = logits.amax(dim=-1, keepdim=True)
    top = torch.where(torch.isfinite(top), top, 0.0)
    weights = torch.exp(logits - top)
    total = weights.sum(dim=-1)
    lse = torch.log2(total) + top[..., 0] / math.log(2.0)
    mixed = torch.matmul(weights.bfloat16().float(), rows.latent)
    return torch.where(total[..., None] > 0, mixed / total[..., None], 0.0), lse
