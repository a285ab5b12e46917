"""Refuses any size that the public workloads do not have, and says which in its message."""

EXPECT = {
    "status": "RUNTIME_ERROR",
    "checks": {"held_out": 2},
    "held_out": True,
    "never_shown": "size-not-in-my-list",
}

PUBLIC = (0, 3, 17, 64)


def run(x, w, table, alpha, y, row):
    if x.shape[0] not in PUBLIC:
        raise ValueError(f"size-not-in-my-list {x.shape[0]}")
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
