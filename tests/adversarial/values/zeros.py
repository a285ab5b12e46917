"""Writes zeros and hopes for a wide tolerance."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}


def run(x, w, table, alpha, y, row):
    y.zero_()
    row.zero_()
