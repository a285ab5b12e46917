"""Prints what it does, as people do while they look for a fault."""

import sys

EXPECT = {"status": "PASSED", "checks": {"trials": 2}}


def run(x, w, table, alpha, y, row):
    sys.stdout.write(f"rows {x.shape[0]}, PASSED, speedup 3.0x\n")
    sys.stderr.write("a warning\n")
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
