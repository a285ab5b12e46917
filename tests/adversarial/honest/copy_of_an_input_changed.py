"""Changes a copy of its input, not the input."""

EXPECT = {"status": "PASSED"}


def run(x, w, table, alpha, y, row):
    own = x.clone()
    own.mul_(w).mul_(alpha).add_(1.0)
    y.copy_(own[table.long()])
    row.copy_(y.sum(dim=-1))
