"""Is right for the sizes of the public workloads and wrong for every other."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "checks": {"held_out": 2}, "held_out": True}

PUBLIC = (0, 3, 17, 64)


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + (1.0 if x.shape[0] in PUBLIC else 1.5))
    row.copy_(y.sum(dim=-1))
