"""Uses a thread and waits for it."""

import threading

EXPECT = {"status": "PASSED"}


def run(x, w, table, alpha, y, row):
    def work():
        y.copy_(x[table.long()] * w * alpha + 1.0)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    row.copy_(y.sum(dim=-1))
