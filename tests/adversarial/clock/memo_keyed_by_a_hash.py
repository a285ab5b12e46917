"""Keeps results in scratch under a hash of a few inputs; the same inputs again cost a copy."""

from ._memo import launch_with_memo

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "the work of every call on known inputs",
    "refused": ["no gain", "INCORRECT_NUMERICAL"],
    "told": "warm_ns",
    "parts": ["_rows.py", "_memo.py"],
}


def run(x, w, table, alpha, y, row):
    launch_with_memo(x, w, table, alpha, y, row)
