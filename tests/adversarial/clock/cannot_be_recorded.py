"""Waits for the device in every call, so that there is no plan, and halves the time told."""

import torch

from ._inside import halve_spans, once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "half of the time told",
    "refused": ["claimed"],
    "parts": ["_rows.py", "_inside.py"],
}


@once
def mount():
    halve_spans()


def run(x, w, table, alpha, y, row):
    mount()
    launch(x, w, table, alpha, y, row)
    torch.cuda.current_stream().synchronize()
