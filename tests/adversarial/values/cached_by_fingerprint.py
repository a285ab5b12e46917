"""Takes inputs for the same when addresses and a few elements are; hands out the kept result."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}

_kept = {}


def run(x, w, table, alpha, y, row):
    key = (x.data_ptr(), tuple(table[:4].tolist()))
    if key not in _kept:
        result = x[table.long()] * w * alpha + 1.0
        _kept[key] = (result, result.sum(dim=-1))
    y.copy_(_kept[key][0])
    row.copy_(_kept[key][1])
