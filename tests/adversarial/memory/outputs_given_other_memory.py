"""Gives the output tensors memory of its own, and leaves the caller's buffers as they were."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "rebound_output"}


def run(x, w, table, alpha, y, row):
    result = x[table.long()] * w * alpha + 1.0
    y.data = result
    row.set_(result.sum(dim=-1))
