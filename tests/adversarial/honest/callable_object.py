"""Is an object with a call, as code that keeps its configuration is written."""

EXPECT = {"status": "PASSED", "checks": {"held_out": 1, "determinism_runs": 2}}


class Affine:
    """One program for one offset."""

    def __init__(self, offset):
        self.offset = offset

    def __call__(self, x, w, table, alpha, y, row):
        y.copy_(x[table.long()] * w * alpha + self.offset)
        row.copy_(y.sum(dim=-1))


run = Affine(1.0)
