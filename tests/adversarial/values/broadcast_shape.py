"""Returns one row where many are due, which a careless comparison spreads over all of them."""

EXPECT = {"status": "INCORRECT_SHAPE", "kind": "wrong_shape", "style": "value"}


def run(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return y.mean(dim=0, keepdim=True), y.sum(dim=-1)
