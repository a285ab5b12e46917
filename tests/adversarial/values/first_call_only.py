"""Works on its first call and leaves the outputs alone ever after."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}

_calls = []


def run(x, w, table, alpha, y, row):
    _calls.append(1)
    if len(_calls) == 1:
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
