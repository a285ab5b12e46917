"""Replaces the method of the process's clock that makes a span of records, and halves the span."""

from ._inside import halve_spans, once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "half of the time told",
    "refused": ["no gain"],
    "parts": ["_rows.py", "_inside.py"],
}


@once
def mount():
    halve_spans()


def run(x, w, table, alpha, y, row):
    mount()
    launch(x, w, table, alpha, y, row)
