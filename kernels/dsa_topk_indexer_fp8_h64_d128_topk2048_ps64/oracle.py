"""Expected selections of the top-k indexer, and those of a trusted float32 implementation.

For the judge only: no candidate's process ever holds this file or what it computes. Only sequences
longer than topk are scored, for a shorter one selects all its tokens. A selection is one of many
right ones (order, ties): compare.py decides whether another is as good.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

TOPK = 2048


Outputs = dict[str, torch.Tensor]


@torch.no_grad()
def oracle(**inputs: torch.Tensor) -> Outputs:
    """Selects by scores in double precision.

    Args:
        inputs: those of the definition; `_selected` tells their shapes.

    Returns:
        topk_indices [batch, 2048] int32, the rest -1.
    """
    return _selected([torch.float64], **inputs)[0]


@torch.no_grad()
def trusted(**inputs: torch.Tensor) -> Outputs:
    """Selects by scores in float32, as an honest kernel does; arguments as for `oracle`."""
    return _selected([torch.float32], **inputs)[0]


@torch.no_grad()
def oracle_and_trusted(**inputs: torch.Tensor) -> tuple[Outputs, Outputs]:
    """Selects by both, from pages that are read once."""
    exact, usual = _selected([torch.float64, torch.float32], **inputs)
    return exact, usual


def _selected(
    dtypes: Sequence[torch.dtype],
    *,
    q_index_fp8: torch.Tensor,
    k_index_cache_fp8: torch.Tensor,
    weights: torch.Tensor,
    seq_lens: torch.Tensor,
    block_table: torch.Tensor,
) -> list[Outputs]:
    """Selections, one for each precision of the scores.

    Args:
        dtypes: of the scores.
        q_index_fp8: [batch, heads, head dim] e4m3.
        k_index_cache_fp8: [pages, page size, 1, head dim + 4] int8, raw pages.
        weights: [batch, heads] float32.
        seq_lens: [batch] int32.
        block_table: [batch, max pages] int32; entries beyond a sequence's last page are not read.
    """
    page_size = k_index_cache_fp8.shape[1]
    short = _all_tokens(seq_lens, block_table, page_size)
    chosen = [short, *(short.clone() for _ in dtypes[1:])]
    for row, length in enumerate(seq_lens.tolist()):
        if length > TOPK:
            pages = block_table[row, : -(-length // page_size)].long()
            values, scales = _unpack(k_index_cache_fp8[pages], q_index_fp8.shape[-1])
            for dtype, selection in zip(dtypes, chosen, strict=True):
                scores = _scores(q_index_fp8[row], values, scales, weights[row], dtype)[:length]
                best = torch.topk(scores, TOPK).indices
                selection[row] = pages[best // page_size] * page_size + best % page_size
    return [{"topk_indices": selection} for selection in chosen]


def _all_tokens(seq_lens: torch.Tensor, table: torch.Tensor, page_size: int) -> torch.Tensor:
    """The first `TOPK` tokens of each sequence [batch, 2048] int32, -1 beyond its length."""
    place = torch.arange(TOPK, device=table.device)
    slot = (place // page_size).clamp_max(table.shape[1] - 1)
    tokens = table[:, slot] * page_size + place % page_size
    return torch.where(place < seq_lens[:, None], tokens, -1).to(torch.int32)


def _scores(
    queries: torch.Tensor,
    values: torch.Tensor,
    scales: torch.Tensor,
    weights: torch.Tensor,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Scores of all tokens, from their values [tokens, head dim] and scales [tokens]."""
    dots = torch.matmul(values.to(dtype), queries.to(dtype).T)
    scaled = torch.relu(dots * scales.to(dtype)[:, None])
    return torch.matmul(scaled, weights.to(dtype))


def _unpack(pages: torch.Tensor, head_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """fp8 values [tokens, head dim] and scales [tokens] of raw pages."""
    count, page_size = pages.shape[:2]
    raw = pages.reshape(count, -1).view(torch.uint8)
    split = page_size * head_dim
    values = raw[:, :split].contiguous().view(torch.float8_e4m3fn)
    scales = raw[:, split:].contiguous().view(torch.float32)
    return values.reshape(-1, head_dim), scales.reshape(-1)
