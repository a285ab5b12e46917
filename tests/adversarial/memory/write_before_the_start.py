"""Writes just before an output, as a wrong offset does."""

import ctypes

EXPECT = {"status": "RUNTIME_ERROR", "claim": "writes_stay_inside", "needs": "cpu"}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    if row.numel():
        ctypes.memset(row.data_ptr() - 4, 7, 4)
