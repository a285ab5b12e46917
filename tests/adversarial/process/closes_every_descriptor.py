"""Closes every descriptor of its process, the judge's connection among them."""

import os

EXPECT = {"status": "RUNTIME_ERROR", "kind": "crash"}


def run(x, w, table, alpha, y, row):
    os.closerange(0, 4096)
