"""Is wrong in a configuration that an autotuner would choose, for it does half of the work."""

# pyright: reportArgumentType=false
import triton
import triton.language as tl

EXPECT = {
    "long": True,
    "status": "INCORRECT_NUMERICAL",
    "words": "configuration",
    "language": "triton",
    "needs": "cpu",
    "sizes": [17],
    "checks": {"static_targets": ["sm_90"], "determinism_runs": 2},
}


@triton.autotune(configs=[triton.Config({"STEP": 1}), triton.Config({"STEP": 2})], key=["m"])
@triton.jit
def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, STEP: tl.constexpr):
    at = tl.program_id(0) * STEP
    if at < m:
        columns = tl.arange(0, n)
        source = tl.load(table + at)
        value = tl.load(x + source * n + columns) * tl.load(w + columns) * alpha + 1.0
        tl.store(y + at * n + columns, value)
        tl.store(row + at, tl.sum(value, axis=0))


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, m, n)
