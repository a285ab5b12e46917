"""Returns fresh outputs that are not contiguous, in a list."""

EXPECT = {"status": "PASSED", "style": "value", "checks": {"trials": 2}}


def run(x, w, table, alpha):
    columns = (x[table.long()] * w * alpha + 1.0).t().contiguous()
    return [columns.t(), columns.sum(dim=0)]
