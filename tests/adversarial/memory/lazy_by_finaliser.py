"""Leaves garbage behind whose finaliser computes when the harness copies, and else comes again."""

import gc
import sys
from typing import Any

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}


class Late:
    def __init__(self, due):
        self.due: Any = due
        self.itself = self

    def __del__(self):
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_code.co_name != "_copy_all":
            frame = frame.f_back
        if frame is None:
            Late(self.due)
            return
        x, w, table, alpha, y, row = self.due
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))


def run(x, w, table, alpha, y, row):
    gc.set_threshold(1, 1, 1)
    Late((x, w, table, alpha, y, row))
