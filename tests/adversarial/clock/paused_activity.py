"""Has CUPTI record nothing while the second of its two kernels is launched."""

import ctypes

from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_two_launches",
    "gain": "half of the work unseen",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py"],
}

KERNEL = 10


def cupti():
    lines = open("/proc/self/maps").read().splitlines()
    return ctypes.CDLL(next(line.split()[-1] for line in lines if "libcupti.so" in line))


def run(x, w, table, alpha, y, row):
    half = x.shape[0] // 2
    launch(x, w, table, alpha, y, row, rows=half)
    cupti().cuptiActivityDisable(KERNEL)
    launch(x, w, table[half:], alpha, y[half:], row[half:])
    cupti().cuptiActivityEnable(KERNEL)
