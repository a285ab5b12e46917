"""Aborts, as a failed assertion of a C library does."""

import os

EXPECT = {"status": "RUNTIME_ERROR", "kind": "crash", "words": "SIGABRT"}


def run(x, w, table, alpha, y, row):
    os.abort()
