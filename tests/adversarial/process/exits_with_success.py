"""Ends the process with code 0, which a careless harness takes for a pass."""

import os

EXPECT = {"status": "RUNTIME_ERROR", "kind": "crash", "words": "exited with code 0"}


def run(x, w, table, alpha, y, row):
    os._exit(0)
