"""Keeps a pool of threads between calls, idle while no call is under way."""

from concurrent.futures import ThreadPoolExecutor

EXPECT = {"status": "PASSED", "checks": {"trials": 2}}

_pool = ThreadPoolExecutor(2)


def run(x, w, table, alpha, y, row):
    def half(start, stop):
        y[start:stop] = x[table[start:stop].long()] * w * alpha + 1.0

    middle = x.shape[0] // 2
    for part in [_pool.submit(half, 0, middle), _pool.submit(half, middle, x.shape[0])]:
        part.result()
    row.copy_(y.sum(dim=-1))
