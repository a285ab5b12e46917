"""An honest candidate that returns its outputs."""

EXPECT = {"status": "PASSED", "style": "value", "checks": {"held_out": 1, "determinism_runs": 2}}


def run(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return y, y.sum(dim=-1)
