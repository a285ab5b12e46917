"""The same kernel bound by memory: the twin of attacks on the caches."""

from ._rows import launch

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True, "parts": ["_rows.py"]}


def run(x, w, table, alpha, y, row):
    launch(x, w, table, alpha, y, row, work=0)
