"""Branches on the scalar: two ways of computing the same, one for each half of its range."""

EXPECT = {"status": "PASSED", "checks": {"held_out": 3, "sizes": 6}}


def run(x, w, table, alpha, y, row):
    rows = x[table.long()]
    y.copy_(rows * (w * alpha) + 1.0 if alpha > 0.5 else rows * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
