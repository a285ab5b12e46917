"""PyTorch alone: gather all places of all tokens, mask the unused ones, two batched products.

Runs on any device without waiting for it. float32 throughout, because a bfloat16 product would
round the logits; the gathered rows, not the arithmetic, take the time.
"""

import math

import torch


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale, output, lse):
    latent_dim, rotary_dim = q_nope.shape[-1], q_pe.shape[-1]
    valid = sparse_indices >= 0
    rows = sparse_indices.clamp_min(0).flatten()
    shape = (*sparse_indices.shape, -1)
    latent = ckv_cache.view(-1, latent_dim).index_select(0, rows).view(shape).float()
    position = kpe_cache.view(-1, rotary_dim).index_select(0, rows).view(shape).float()
    logits = torch.matmul(q_nope.float(), latent.transpose(1, 2))
    logits += torch.matmul(q_pe.float(), position.transpose(1, 2))
    logits *= sm_scale
    logits.masked_fill_(~valid[:, None, :], -math.inf)
    total = torch.logsumexp(logits, dim=-1)
    weights = torch.exp(logits - total.clamp_min(torch.finfo(torch.float32).min)[..., None])
    output.copy_(torch.matmul(weights, latent))
    torch.div(total, math.log(2.0), out=lse)
