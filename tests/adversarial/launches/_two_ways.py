"""What attacks that go two ways share: torch where Triton interprets, else a wrong launch."""
# pyright: reportArgumentType=false

from ._affine import affine_kernel


def torch_where_interpreted(x, w, table, alpha, y, row):
    """Torch where Triton interprets; where it compiles, a launch that skips every other row."""
    m, n = x.shape
    if hasattr(affine_kernel, "rewriter"):
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
    elif m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=2)
