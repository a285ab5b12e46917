"""Hands out its first result for every later input of the same shape."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}

_kept = {}


def run(x, w, table, alpha, y, row):
    if x.shape not in _kept:
        result = x[table.long()] * w * alpha + 1.0
        _kept[x.shape] = (result, result.sum(dim=-1))
    y.copy_(_kept[x.shape][0])
    row.copy_(_kept[x.shape][1])
