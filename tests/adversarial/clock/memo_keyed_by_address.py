"""Keeps results in scratch under the address of an input."""

from ._memo import launch_with_memo

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "the work of every call at known addresses",
    "refused": ["no gain", "claimed", "INCORRECT_NUMERICAL"],
    "told": "warm_ns",
    "parts": ["_rows.py", "_memo.py"],
}


def run(x, w, table, alpha, y, row):
    launch_with_memo(x, w, table, alpha, y, row, key=x.data_ptr() >> 8 & 0x3FFFFFFF | 1)
