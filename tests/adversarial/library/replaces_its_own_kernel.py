"""Gives its kernel object a launch of its own that has the library compute."""

from typing import Any

import triton
import triton.language as tl

EXPECT = {
    "status": "PASSED",
    "claim": "own_kernels_do_the_work",
    "language": "triton",
    "needs": "cpu",
    "checks": {"ghost_replay": True},
}


@triton.jit
def affine_kernel(x, y, n: tl.constexpr):
    tl.store(y + tl.arange(0, n), tl.load(x + tl.arange(0, n)))


class Launch:
    def __getitem__(self, grid):
        return self.launch

    def launch(self, x, w, table, alpha, y, row):
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))


kernel: Any = affine_kernel
kernel = Launch()


def run(x, w, table, alpha, y, row):
    kernel[(1,)](x, w, table, alpha, y, row)
