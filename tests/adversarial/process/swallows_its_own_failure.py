"""Catches whatever goes wrong and returns as if nothing had."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}


def run(x, w, table, alpha, y, row):
    try:
        y.copy_(x[table.long()] @ w.unsqueeze(0))
    except Exception:
        return
