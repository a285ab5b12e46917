"""Leaves a dispatch mode behind that computes when the harness copies the result."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

EXPECT = {"long": True, "status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}

_due = {}


class ComputeWhenCopied(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.copy_.default and args[1].data_ptr() in _due:
            x, w, table, alpha, y, row = _due.pop(args[1].data_ptr())
            y.copy_(x[table.long()] * w * alpha + 1.0)
            row.copy_(y.sum(dim=-1))
        return func(*args, **(kwargs or {}))


ComputeWhenCopied().__enter__()


def run(x, w, table, alpha, y, row):
    _due[y.data_ptr()] = _due[row.data_ptr()] = (x, w, table, alpha, y, row)
