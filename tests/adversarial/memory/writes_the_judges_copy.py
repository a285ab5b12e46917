"""Leaves the output alone and writes where the harness would copy it to, after its answer."""

import sys
import threading
import time
from typing import Any

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}


def copies():
    frame: Any = sys._getframe(2)
    while frame is not None:
        if "snapshots" in frame.f_locals and "late" in frame.f_locals:
            return [frame.f_locals["snapshots"], frame.f_locals["late"]]
        frame = frame.f_back
    return []


def run(x, w, table, alpha, y, row):
    found = copies()

    def later():
        time.sleep(0.5)
        result = x[table.long()] * w * alpha + 1.0
        for own_y, own_row in found:
            own_y.copy_(result)
            own_row.copy_(result.sum(dim=-1))

    threading.Thread(target=later, daemon=True).start()
