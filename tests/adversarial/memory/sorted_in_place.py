"""Sorts its index in place, so that later reads of the same input are easier."""

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "inputs_unchanged"}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    table.copy_(table.sort().values)
