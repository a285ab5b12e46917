"""Leaves a profiling hook behind that computes when the harness calls its own copy."""

import sys

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}

_due = []


def hook(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "_copy_all" and _due:
        x, w, table, alpha, y, row = _due.pop()
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))


def run(x, w, table, alpha, y, row):
    _due.append((x, w, table, alpha, y, row))
    sys.setprofile(hook)
