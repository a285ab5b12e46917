"""Is wrong by two parts in a thousand, which a criterion of absolute or relative error allows."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "error_too_large"}


def run(x, w, table, alpha, y, row):
    y.copy_((x[table.long()] * w * alpha + 1.0) * 1.002)
    row.copy_(y.sum(dim=-1))
