"""Overwrites an input so that a check which reads it afterwards agrees with anything."""

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "inputs_unchanged"}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    x.zero_()
