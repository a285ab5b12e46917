"""Patches the context in which the harness copies, to compute when it is entered."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}

_due = []
_enter = torch.no_grad.__enter__


def compute_on_entry(self):
    if _due:
        x, w, table, alpha, y, row = _due.pop()
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
    return _enter(self)


def run(x, w, table, alpha, y, row):
    torch.no_grad.__enter__ = compute_on_entry
    _due.append((x, w, table, alpha, y, row))
