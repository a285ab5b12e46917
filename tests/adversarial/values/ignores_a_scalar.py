"""Never reads the scalar `alpha`, which every public workload states as 0.5."""

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "checks": {"held_out": 2},
    "held_out": True,
    "words": "wrong with other values of 'alpha'",
}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * 0.5 + 1.0)
    row.copy_(y.sum(dim=-1))
