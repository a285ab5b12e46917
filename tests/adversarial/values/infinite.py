"""Writes infinity, whose distance to anything finite is not a number that a limit can hold."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "wrong_nonfinite"}


def run(x, w, table, alpha, y, row):
    y.fill_(float("inf"))
    row.fill_(float("inf"))
