"""Counts its calls and takes the time of each, for its own log."""

import time

EXPECT = {"status": "PASSED", "checks": {"trials": 3}}

_seconds = []


def run(x, w, table, alpha, y, row):
    began = time.perf_counter()
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    _seconds.append(time.perf_counter() - began)
