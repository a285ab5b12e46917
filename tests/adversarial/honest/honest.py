"""An honest candidate by destination passing."""

EXPECT = {
    "status": "PASSED",
    "checks": {"trials": 3, "families": 2, "held_out": 2, "determinism_runs": 4},
}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
