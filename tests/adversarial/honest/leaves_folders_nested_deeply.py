"""Leaves folders nested deeper than a recursive removal goes, and is right."""

import os

EXPECT = {"status": "PASSED", "long": True}

_left = []


def run(x, w, table, alpha, y, row):
    if not _left:
        _left.append(True)
        for _ in range(3000):
            os.mkdir("d")
            os.chdir("d")
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
