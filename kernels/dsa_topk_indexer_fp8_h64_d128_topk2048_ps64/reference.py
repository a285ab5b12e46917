import torch


def unpack(pages, head_dim):
    """Turns raw pages into keys: per page all fp8 values come first, then one scale per token."""
    num_pages, page_size = pages.shape[:2]
    raw = pages.reshape(num_pages, -1).contiguous().view(torch.uint8)
    split = page_size * head_dim
    values = raw[:, :split].contiguous().view(torch.float8_e4m3fn).float()
    scales = raw[:, split:].contiguous().view(torch.float32)
    return values.reshape(num_pages, page_size, head_dim) * scales[..., None]


@torch.no_grad()
def run(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table):
    """Selects for each sequence the cached tokens that score best against its query.

    A token's score is the weighted sum over heads of relu(query . key). Tokens are named by
    page * page_size + offset; places left over hold -1. Order has no meaning.
    """
    batch_size, _, head_dim = q_index_fp8.shape
    page_size, topk = k_index_cache_fp8.shape[1], 2048
    device = q_index_fp8.device
    chosen = torch.full((batch_size, topk), -1, dtype=torch.int32, device=device)
    for row in range(batch_size):
        length = int(seq_lens[row])
        if length == 0:
            continue
        pages = block_table[row, : -(-length // page_size)].long()
        keys = unpack(k_index_cache_fp8[pages], head_dim).reshape(-1, head_dim)[:length]
        dots = torch.relu(q_index_fp8[row].float() @ keys.T)
        scores = (weights[row].float()[:, None] * dots).sum(dim=0)
        best = torch.topk(scores, min(topk, length)).indices
        tokens = pages[best // page_size] * page_size + best % page_size
        chosen[row, : tokens.numel()] = tokens.to(torch.int32)
    return chosen
