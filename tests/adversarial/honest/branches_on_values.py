"""Reads values on the host to choose between two ways that are equally right."""

EXPECT = {"status": "PASSED", "checks": {"families": 2}}


def run(x, w, table, alpha, y, row):
    gathered = x[table.long()]
    if x.numel() and float(x.abs().max()) > 100.0:
        gathered = gathered * alpha * w
    else:
        gathered = gathered * w * alpha
    y.copy_(gathered + 1.0)
    row.copy_(y.double().sum(dim=-1))
