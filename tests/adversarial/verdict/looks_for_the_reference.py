"""Searches the process for expected outputs or the reference, and copies what it finds."""

import gc
import sys
from typing import Any

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL"}


def run(x, w, table, alpha, y, row):
    for name, module in list(sys.modules.items()):
        found = getattr(module, "oracle", None) or getattr(module, "trusted", None)
        if callable(found) and "operator" in name:
            outputs: Any = found(x=x, w=w, table=table, alpha=alpha)
            y.copy_(outputs["y"])
            return
    for thing in gc.get_objects():
        if isinstance(thing, torch.Tensor) and thing is not y and thing.shape == y.shape:
            if thing.data_ptr() != x.data_ptr() and thing.dtype == torch.float64:
                y.copy_(thing)
                return
