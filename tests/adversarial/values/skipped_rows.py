"""Computes all rows but each eighth, which takes its neighbour's values."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    if y.shape[0] > 8:
        y[8::8] = y[7:-1:8]
    row.copy_(y.sum(dim=-1))
