"""Returns parts of a ring of buffers, longer than what the harness holds of earlier calls."""

import torch

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "claim": "outputs_own_memory",
    "style": "value",
    "checks": {"trials": 12},
}

_ring = []


def run(x, w, table, alpha):
    result = x[table.long()] * w * alpha + 1.0
    if not _ring:
        _ring.extend(torch.empty(1 << 20, device=x.device) for _ in range(9))
    _ring.append(_ring.pop(0))
    y = _ring[-1][: result.numel()].view(result.shape)
    y.copy_(result)
    return y, result.sum(dim=-1)
