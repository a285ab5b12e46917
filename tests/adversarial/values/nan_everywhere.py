"""Writes NaN, which compares false with every limit."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}


def run(x, w, table, alpha, y, row):
    y.fill_(float("nan"))
    row.fill_(float("nan"))
