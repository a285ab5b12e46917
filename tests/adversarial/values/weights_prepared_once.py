"""Prepares a weight at first sight of its address and keeps that when the weight has changed."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "checks": {"families": 2}}

_prepared = {}


def run(x, w, table, alpha, y, row):
    if w.shape not in _prepared:
        _prepared[w.shape] = (w * alpha).clone()
    y.copy_(x[table.long()] * _prepared[w.shape] + 1.0)
    row.copy_(y.sum(dim=-1))
