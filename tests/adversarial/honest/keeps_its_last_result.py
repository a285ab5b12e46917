"""Keeps what it returned last, to look at later, and returns fresh memory every time."""

EXPECT = {"status": "PASSED", "style": "value", "checks": {"trials": 12}}

_last = []


def run(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    _last[:] = [y, y.sum(dim=-1)]
    return tuple(_last)
