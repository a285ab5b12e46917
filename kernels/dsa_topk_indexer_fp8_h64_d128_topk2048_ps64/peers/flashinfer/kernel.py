"""FlashInfer's top-k with page table (package flashinfer-python) on scores made by PyTorch.

FlashInfer selects and renames in one kernel but scores no fp8 pages: what this peer takes beyond
`torch_vectorised` or below it is due to the selection. The table of tokens that it wants, an entry
for each, is made in the call.
"""

import torch


def _scores(queries, cache, weights, pages, page_size):
    batch, head_dim = queries.shape[0], queries.shape[-1]
    raw = cache.view(torch.uint8).view(cache.shape[0], -1)[pages.flatten()]
    split = page_size * head_dim
    keys = raw[:, :split].contiguous().view(torch.float8_e4m3fn).float()
    scales = raw[:, split:].contiguous().view(torch.float32).view(batch, 1, -1)
    dots = torch.matmul(queries.float(), keys.view(batch, -1, head_dim).transpose(1, 2))
    return torch.matmul(weights[:, None, :], torch.relu_(dots * scales))[:, 0]


@torch.no_grad()
def run(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table, topk_indices):
    """Writes topk_indices; FlashInfer fills the places left over with -1."""
    # Imported here, so that a machine without the package learns its name at the call.
    from flashinfer import top_k_page_table_transform  # pyright: ignore[reportMissingImports]

    topk, page_size = topk_indices.shape[1], k_index_cache_fp8.shape[1]
    width = block_table.shape[1] * page_size
    places = torch.arange(width, device=block_table.device, dtype=torch.int32)
    pages = torch.where(places[::page_size] < seq_lens[:, None], block_table, 0)
    tokens = pages.repeat_interleave(page_size, dim=1) * page_size + places % page_size
    if width > topk:
        scores = _scores(q_index_fp8, k_index_cache_fp8, weights, pages, page_size)
        topk_indices.copy_(top_k_page_table_transform(scores, tokens, seq_lens, topk))
        return
    topk_indices[:, :width] = torch.where(places < seq_lens[:, None], tokens, -1)
    topk_indices[:, width:] = -1
