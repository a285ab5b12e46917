"""Writes past its output on a held-out size, as far past as the size is large."""

import ctypes

EXPECT = {
    "long": True,
    "status": "RUNTIME_ERROR",
    "claim": "writes_stay_inside",
    "checks": {"held_out": 2},
    "held_out": True,
    "never_shown": "bytes after",
    "needs": "cpu",
}

PUBLIC = (0, 3, 17, 64)


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    if x.shape[0] not in PUBLIC:
        ctypes.memset(y.data_ptr() + 4 * y.numel() + 1000 + x.shape[0], 7, 1)
