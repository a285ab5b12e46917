"""Is wrong from 70 rows to 126: no public size and none that inputs.py names lies there."""

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "checks": {"held_out": 2, "sizes": 12},
    "plan": {"public_workloads": [{"uuid": "w", "axes": {"m": 130}, "inputs": {}}]},
    "held_out": True,
}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + (1.5 if 70 <= x.shape[0] <= 126 else 1.0))
    row.copy_(y.sum(dim=-1))
