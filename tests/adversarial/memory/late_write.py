"""Returns at once and has a thread write the outputs a little later."""

import threading
import time

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "or": "INCORRECT_NUMERICAL",
    "claim": "work_is_joined",
}


def run(x, w, table, alpha, y, row):
    result = x[table.long()] * w * alpha + 1.0

    def later():
        time.sleep(0.0004)
        y.copy_(result)
        row.copy_(result.sum(dim=-1))

    threading.Thread(target=later).start()
