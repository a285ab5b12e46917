"""Raises an out-of-memory error, which some harnesses skip instead of failing."""

import torch

EXPECT = {"status": "RUNTIME_ERROR", "kind": "out_of_memory"}


def run(x, w, table, alpha, y, row):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
