"""Accumulates in double precision, which is further from a single-precision reference than that."""

EXPECT = {"status": "PASSED", "checks": {"families": 2}}


def run(x, w, table, alpha, y, row):
    exact = x.double()[table.long()] * w.double() * alpha + 1.0
    y.copy_(exact)
    row.copy_(exact.sum(dim=-1))
