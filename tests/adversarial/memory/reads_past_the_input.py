"""Reads one row past the end of an input, where a caching allocator happens to leave zeros."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "wrong_nonfinite"}


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m == 0:
        return
    wide = x.as_strided((m + 1, n), (n, 1))
    y.copy_(x[table.long()] * w * alpha + 1.0 + 0.0 * wide[1:])
    row.copy_(y.sum(dim=-1))
