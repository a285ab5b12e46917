"""Two kernels, each of half the rows: the twin of attacks that hide one of them."""

from ._rows import in_halves

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True, "parts": ["_rows.py"]}


def run(x, w, table, alpha, y, row):
    in_halves(x, w, table, alpha, y, row)
