"""Computes when garbage is collected while the harness copies, and has that happen all the time."""

import gc
import sys

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}

_due = []


def collected(phase, information):
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "_copy_all" and _due:
            x, w, table, alpha, y, row = _due.pop()
            y.copy_(x[table.long()] * w * alpha + 1.0)
            row.copy_(y.sum(dim=-1))
        frame = frame.f_back


gc.callbacks.append(collected)


def run(x, w, table, alpha, y, row):
    _due.append((x, w, table, alpha, y, row))
    gc.set_threshold(1, 1, 1)
