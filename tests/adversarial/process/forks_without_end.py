"""Starts processes until the machine would be full."""

import os

EXPECT = {"status": "RUNTIME_ERROR", "kind": "exception", "words": "BlockingIOError"}


def run(x, w, table, alpha, y, row):
    for _ in range(400):
        os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
