"""Uses an output as scratch memory before its final values are written."""

EXPECT = {"status": "PASSED"}


def run(x, w, table, alpha, y, row):
    y.copy_(x)
    y.mul_(w)
    y.copy_(y.clone()[table.long()] * alpha + 1.0)
    row.zero_()
    row.add_(y.sum(dim=-1))
