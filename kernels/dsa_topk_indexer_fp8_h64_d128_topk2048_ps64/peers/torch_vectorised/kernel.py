"""PyTorch alone: score every place of every block table, mask, and take the best 2048.

Runs on any device without waiting for it. Where the block table is so narrow that no sequence can
exceed 2048 tokens, which its shape tells, nothing is scored.
"""

import math

import torch


@torch.no_grad()
def run(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table, topk_indices):
    batch, topk = topk_indices.shape
    page_size, head_dim = k_index_cache_fp8.shape[1], q_index_fp8.shape[-1]
    width = block_table.shape[1] * page_size
    places = torch.arange(width, device=block_table.device)
    inside = places < seq_lens[:, None]
    pages = torch.where(inside[:, ::page_size], block_table, 0)
    tokens = (pages[:, :, None] * page_size + places[:page_size]).view(batch, width)
    if width > topk:
        scores = _scores(q_index_fp8, k_index_cache_fp8, weights, pages, page_size, head_dim)
        best = torch.topk(scores.masked_fill_(~inside, -math.inf), topk, dim=1).indices
        tokens, inside = tokens.gather(1, best), inside.gather(1, best)
    topk_indices[:, : tokens.shape[1]] = torch.where(inside, tokens, -1)
    topk_indices[:, tokens.shape[1] :] = -1


def _scores(queries, cache, weights, pages, page_size, head_dim):
    batch = queries.shape[0]
    raw = cache.view(torch.uint8).view(cache.shape[0], -1)[pages.flatten()]
    split = page_size * head_dim
    keys = raw[:, :split].contiguous().view(torch.float8_e4m3fn).float()
    scales = raw[:, split:].contiguous().view(torch.float32).view(batch, 1, -1)
    dots = torch.matmul(queries.float(), keys.view(batch, -1, head_dim).transpose(1, 2))
    return torch.matmul(weights[:, None, :], torch.relu_(dots * scales))[:, 0]
