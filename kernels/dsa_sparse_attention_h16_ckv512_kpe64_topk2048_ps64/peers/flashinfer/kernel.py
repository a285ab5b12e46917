"""FlashInfer's paged latent attention with pages of one row.

The selected rows become each token's page table, so planning depends on the indices and waits for
the device: both belong to the call, for the rows differ from call to call. A token without rows
is not left to the library but set here.
"""

import math

import torch
from flashinfer.mla import BatchMLAPagedAttentionWrapper  # pyright: ignore[reportMissingImports]

_WORKSPACE_BYTES = 128 << 20
_wrappers = {}


def _wrapper(device):
    if device not in _wrappers:
        workspace = torch.empty(_WORKSPACE_BYTES, dtype=torch.uint8, device=device)
        major, _ = torch.cuda.get_device_capability(device)
        backend = "fa3" if major == 9 else "fa2"
        _wrappers[device] = BatchMLAPagedAttentionWrapper(workspace, backend=backend)
    return _wrappers[device]


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale, output, lse):
    tokens, heads, latent_dim = q_nope.shape
    rotary_dim = q_pe.shape[-1]
    device = q_nope.device
    valid = sparse_indices >= 0
    lengths = valid.sum(dim=1, dtype=torch.int32)
    rows = sparse_indices[valid]
    if rows.numel() == 0:
        output.zero_()
        lse.fill_(-math.inf)
        return
    starts = torch.zeros(tokens + 1, dtype=torch.int32, device=device)
    torch.cumsum(lengths, 0, dtype=torch.int32, out=starts[1:])
    queries = torch.arange(tokens + 1, dtype=torch.int32, device=device)
    wrapper = _wrapper(device)
    wrapper.plan(
        queries,
        starts,
        rows,
        lengths,
        heads,
        latent_dim,
        rotary_dim,
        1,
        False,
        sm_scale,
        q_nope.dtype,
        ckv_cache.dtype,
    )
    mixed, logsum = wrapper.run(
        q_nope,
        q_pe,
        ckv_cache.view(-1, 1, latent_dim),
        kpe_cache.view(-1, 1, rotary_dim),
        return_lse=True,
    )
    empty = lengths == 0
    output.copy_(mixed.masked_fill(empty[:, None, None], 0.0))
    lse.copy_(logsum.masked_fill(empty[:, None], -math.inf))
