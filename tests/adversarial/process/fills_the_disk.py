"""Writes a file larger than any candidate needs."""

import os

EXPECT = {"status": "RUNTIME_ERROR"}


def run(x, w, table, alpha, y, row):
    with open("large", "wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, 1 << 42)
