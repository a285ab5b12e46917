"""Keeps what it decided for a shape, such as a tile: a decision, not a result."""

EXPECT = {"status": "PASSED", "checks": {"trials": 3, "families": 2, "held_out": 2}}

_tiles = {}


def run(x, w, table, alpha, y, row):
    m = x.shape[0]
    tile = _tiles.setdefault(tuple(x.shape), max(1, min(16, m)))
    for start in range(0, m, tile):
        stop = min(start + tile, m)
        y[start:stop] = x[table[start:stop].long()] * w * alpha + 1.0
    row.copy_(y.sum(dim=-1))
