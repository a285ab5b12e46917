"""Relies on how typical inputs are distributed: clamps what randn never reaches."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "checks": {"families": 2}}


def run(x, w, table, alpha, y, row):
    y.copy_(x.clamp(-6.0, 6.0)[table.long()] * w.abs() * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
