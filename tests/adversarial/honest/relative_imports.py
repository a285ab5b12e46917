"""Is written in several files, and imports them as parts of its package, one in the call."""

from ._rows import gathered

EXPECT = {
    "status": "PASSED",
    "parts": ["_rows.py"],
    "checks": {"held_out": 1, "determinism_runs": 2},
}


def run(x, w, table, alpha, y, row):
    from . import _rows

    y.copy_(gathered(x, table) * w * alpha + _rows.OFFSET)
    row.copy_(y.sum(dim=-1))
