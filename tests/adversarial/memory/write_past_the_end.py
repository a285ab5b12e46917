"""Writes a few elements past the end of an output, as a missing mask does."""

import ctypes

EXPECT = {"status": "RUNTIME_ERROR", "claim": "writes_stay_inside", "needs": "cpu"}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    if y.numel():
        ctypes.memset(y.data_ptr() + 4 * y.numel(), 7, 16)
