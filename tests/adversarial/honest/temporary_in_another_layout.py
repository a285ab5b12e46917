"""Works on a transposed temporary that is not contiguous."""

EXPECT = {"status": "PASSED"}


def run(x, w, table, alpha, y, row):
    columns = x[table.long()].t()
    columns = columns * w.unsqueeze(1) * alpha + 1.0
    y.copy_(columns.t())
    row.copy_(columns.sum(dim=0))
