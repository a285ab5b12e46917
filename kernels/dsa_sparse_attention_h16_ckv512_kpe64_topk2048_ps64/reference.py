import math

import torch


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale):
    """Multi-head latent attention over the cache rows that each token selected.

    A row index is page * page_size + offset; -1 marks an unused place, wherever it stands. A row
    listed twice counts twice. The latent is key and value at once. A token that selects nothing
    gets an output of zero and a log-sum-exp of minus infinity.
    """
    num_tokens, num_heads, latent_dim = q_nope.shape
    device = q_nope.device
    latents = ckv_cache.reshape(-1, latent_dim)
    rotated = kpe_cache.reshape(-1, kpe_cache.shape[-1])
    output = torch.zeros(num_tokens, num_heads, latent_dim, dtype=torch.bfloat16, device=device)
    lse = torch.full((num_tokens, num_heads), -math.inf, dtype=torch.float32, device=device)
    for token in range(num_tokens):
        chosen = sparse_indices[token]
        rows = chosen[chosen != -1].long()
        if rows.numel() == 0:
            continue
        latent = latents[rows].float()
        position = rotated[rows].float()
        content = q_nope[token].float() @ latent.T
        logits = (content + q_pe[token].float() @ position.T) * sm_scale
        lse[token] = torch.logsumexp(logits, dim=-1) / math.log(2.0)
        output[token] = (torch.softmax(logits, dim=-1) @ latent).to(torch.bfloat16)
    return output, lse
