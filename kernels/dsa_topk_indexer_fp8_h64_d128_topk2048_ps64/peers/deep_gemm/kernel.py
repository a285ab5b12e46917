"""DeepGEMM's scorer of paged fp8 keys (package sgl-deep-gemm), and torch.topk on its scores.

Its schedule depends on the lengths, which differ from call to call, so that making it belongs to
the call, as do the mask and the names of tokens. Where no sequence can exceed 2048 tokens nothing
is scored. DeepGEMM multiplies by a key's scale after the sum over heads, which is right for scales
above zero.
"""

import torch


def _scores(queries, cache, weights, seq_lens, block_table, page_size):
    # Imported here, so that a machine without the package learns its name at the call.
    import deep_gemm  # pyright: ignore[reportMissingImports]

    batch, width = block_table.shape
    lengths = seq_lens.view(batch, 1)
    blocks = torch.cuda.get_device_properties(queries.device).multi_processor_count
    schedule = deep_gemm.get_paged_mqa_logits_metadata(lengths, page_size, blocks)
    return deep_gemm.fp8_paged_mqa_logits(
        queries.unsqueeze(1),
        cache.view(torch.uint8),
        weights,
        lengths,
        block_table,
        schedule,
        width * page_size,
        clean_logits=False,
    )


@torch.no_grad()
def run(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table, topk_indices):
    """Writes topk_indices; scores beyond a sequence's length are never looked at."""
    topk, page_size = topk_indices.shape[1], k_index_cache_fp8.shape[1]
    width = block_table.shape[1] * page_size
    places = torch.arange(width, device=block_table.device, dtype=torch.int32)
    inside = places < seq_lens[:, None]
    tokens = block_table.repeat_interleave(page_size, dim=1) * page_size + places % page_size
    if width > topk:
        scores = _scores(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table, page_size)
        masked = torch.where(inside, scores[:, :width], -torch.inf)
        best = torch.topk(masked, topk, dim=1, sorted=False).indices
        tokens, inside = tokens.gather(1, best), inside.gather(1, best)
    topk_indices[:, : tokens.shape[1]] = torch.where(inside, tokens, -1)
    topk_indices[:, tokens.shape[1] :] = -1
