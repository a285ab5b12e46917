"""Torch's own operators."""

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
