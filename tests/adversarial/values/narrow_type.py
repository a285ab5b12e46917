"""Returns half the bits that are declared."""

EXPECT = {"status": "INCORRECT_DTYPE", "kind": "wrong_dtype", "style": "value"}


def run(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return y.half(), y.sum(dim=-1)
