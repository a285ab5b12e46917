"""FlashMLA's sparse kernel (package sgl-flash-mla, its Hopper build) over gathered rows.

It wants one cache of 576 columns and 64 heads. The caches are apart here, and joining them all
would copy hundreds of megabytes; the selected rows alone are gathered, and the heads padded with
zeros. Both belong to the call: on the timeline the library's own kernel stands after them.
"""

import math

import torch

HEADS = 64


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale, output, lse):
    """Writes output and lse; a token without rows is not left to the library."""
    # Imported here, so that a machine without the package learns its name at the call.
    from flash_mla import flash_mla_sparse_fwd

    tokens, heads, latent_dim = q_nope.shape
    topk = sparse_indices.shape[1]
    if tokens == 0:
        return
    used = sparse_indices >= 0
    rows = sparse_indices.clamp_min(0).flatten().long()
    gathered = torch.cat(
        [ckv_cache.view(-1, latent_dim)[rows], kpe_cache.view(-1, q_pe.shape[-1])[rows]], dim=1
    )
    places = torch.arange(tokens * topk, dtype=torch.int32, device=rows.device).view(tokens, topk)
    queries = q_nope.new_zeros(tokens, HEADS, gathered.shape[1])
    queries[:, :heads] = torch.cat([q_nope, q_pe], dim=2)
    mixed, _, logsum = flash_mla_sparse_fwd(
        queries,
        gathered[:, None],
        torch.where(used, places, -1)[:, None],
        sm_scale,
        use_legacy=True,
        return_log2_lse=True,
    )
    empty = ~used.any(dim=1)
    output.copy_(mixed[:, :heads].masked_fill(empty[:, None, None], 0.0))
    lse.copy_(logsum[:, :heads].masked_fill(empty[:, None], -math.inf))
