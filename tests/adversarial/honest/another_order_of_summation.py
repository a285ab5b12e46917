"""Sums in another order, by halves, whose rounding is not the reference's."""

EXPECT = {"status": "PASSED", "checks": {"families": 2}}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    part = y
    while part.shape[1] > 1:
        half = part.shape[1] // 2
        part = part[:, :half] + part[:, half:]
    row.copy_(part[:, 0])
