"""Forks until the machine would be full."""

import os
import time

EXPECT = {"status": "RUNTIME_ERROR", "kind": "exception", "words": "BlockingIOError"}


def run(x, w, table, alpha, y, row):
    for _ in range(400):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
