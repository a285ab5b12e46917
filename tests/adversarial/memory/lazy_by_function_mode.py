"""Leaves a function mode behind that computes when the harness copies the result."""

import torch
from torch.overrides import TorchFunctionMode

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}

_due = {}


class ComputeWhenCopied(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.copy_ and args[1].data_ptr() in _due:
            x, w, table, alpha, y, row = _due.pop(args[1].data_ptr())
            y.copy_(x[table.long()] * w * alpha + 1.0)
            row.copy_(y.sum(dim=-1))
        return func(*args, **(kwargs or {}))


def run(x, w, table, alpha, y, row):
    if not _due:
        torch._C._push_on_torch_function_stack(ComputeWhenCopied())
    _due[y.data_ptr()] = _due[row.data_ptr()] = (x, w, table, alpha, y, row)
