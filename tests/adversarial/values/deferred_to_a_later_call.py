"""Remembers every problem and solves many at once when enough have come, to divide their cost."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output", "checks": {"trials": 3}}

_pending = []


def run(x, w, table, alpha, y, row):
    _pending.append((x, w, table, alpha, y, row))
    if len(_pending) < 4:
        return
    for x, w, table, alpha, y, row in _pending:
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
    _pending.clear()
