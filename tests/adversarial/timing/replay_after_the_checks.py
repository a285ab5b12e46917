"""Works for more calls than any check makes, then repeats its last result while it is timed.

Only where the candidate's own process is timed: a recorded call is one of the honest ones.
"""

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "needs": "cuda",
    "words": "In timed call",
    "plan": {"sealed_clock": False},
    "checks": {"timed": True, "pairs_per_block": 30, "max_pairs": 30, "half_width": 0.0},
}
HONEST_CALLS = 12
_kept = {}


def run(x, w, table, alpha, y, row):
    calls, result = _kept.get(x.shape, (0, None))
    if result is None or calls < HONEST_CALLS:
        result = x[table.long()] * w * alpha + 1.0
    _kept[x.shape] = (calls + 1, result)
    y.copy_(result)
    row.copy_(result.sum(dim=-1))
