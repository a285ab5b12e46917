"""Leaves the interpreter while it is imported."""

import sys

EXPECT = {"status": "INVALID_CANDIDATE", "kind": "exit"}


sys.exit(0)


def run(x, w, table, alpha, y, row):
    pass
