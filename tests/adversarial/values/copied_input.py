"""Copies an input of the right shape, which has the scale of the output and the wrong values."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}


def run(x, w, table, alpha, y, row):
    y.copy_(x)
    row.copy_(x.sum(dim=-1))
