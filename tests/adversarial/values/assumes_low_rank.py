"""Computes a few rows and takes all others for multiples of them, as structured inputs would be."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}


def run(x, w, table, alpha, y, row):
    if x.shape[0] < 2:
        y.copy_(x[table.long()] * w * alpha + 1.0)
    else:
        gathered = x[table.long()]
        scale = gathered[:, :1] / gathered[:1, :1]
        y.copy_(scale * gathered[:1] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
