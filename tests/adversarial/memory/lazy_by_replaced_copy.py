"""Registers a copy of its own in torch's dispatcher, which computes when the harness copies."""

import torch

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "outputs_exist_on_return"}

_due = {}
_library = torch.library.Library("aten", "IMPL")


def compute_when_copied(target, source, non_blocking=False):
    if not isinstance(source, torch.Tensor):
        return target.fill_(source)
    if source.data_ptr() in _due:
        x, w, table, alpha, y, row = _due.pop(source.data_ptr())
        torch.index_select(x, 0, table, out=y)
        y.mul_(w).mul_(alpha).add_(1.0)
        torch.sum(y, dim=-1, out=row)
    if target.numel():
        torch.add(source.reshape(-1), 0.0, out=target.view(-1))
    return target


def run(x, w, table, alpha, y, row):
    if not _due:
        for key in ("CPU", "CUDA"):
            _library.impl("copy_", compute_when_copied, key)
    _due[y.data_ptr()] = _due[row.data_ptr()] = (x, w, table, alpha, y, row)
