"""The kernel that attacks on launches share: one program a row, or one for every STEP rows."""

# pyright: reportArgumentType=false
import triton
import triton.language as tl


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, STEP: tl.constexpr):
    at = tl.program_id(0) * STEP
    if at < m:
        columns = tl.arange(0, n)
        source = tl.load(table + at)
        value = tl.load(x + source * n + columns) * tl.load(w + columns) * alpha + 1.0
        tl.store(y + at * n + columns, value)
        tl.store(row + at, tl.sum(value, axis=0))


def torch_where_interpreted(x, w, table, alpha, y, row):
    """Torch where Triton interprets; where it compiles, a launch that skips every other row."""
    m, n = x.shape
    if hasattr(affine_kernel, "rewriter"):
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
    elif m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=2)
