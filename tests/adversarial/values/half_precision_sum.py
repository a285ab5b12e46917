"""Computes elements as declared and accumulates their sum in half precision."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.half().cumsum(dim=-1)[:, -1])
