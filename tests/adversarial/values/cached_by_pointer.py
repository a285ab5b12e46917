"""Computes once for each address of its input and hands out the kept result afterwards."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}

_kept = {}


def run(x, w, table, alpha, y, row):
    key = x.data_ptr()
    if key not in _kept:
        result = x[table.long()] * w * alpha + 1.0
        _kept[key] = (result, result.sum(dim=-1))
    y.copy_(_kept[key][0])
    row.copy_(_kept[key][1])
