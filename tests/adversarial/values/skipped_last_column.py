"""Leaves the last column as a tile that does not divide the size would."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}


def run(x, w, table, alpha, y, row):
    result = x[table.long()] * w * alpha + 1.0
    y[:, :-1].copy_(result[:, :-1])
    row.copy_(result.sum(dim=-1))
