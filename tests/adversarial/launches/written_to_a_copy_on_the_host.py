"""Writes its outputs to what `cpu()` gives, which on a device is a copy."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output", "needs": "cpu"}


def run(x, w, table, alpha, y, row):
    y.cpu().copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_((x[table.long()] * w * alpha + 1.0).sum(dim=-1))
