"""Returns what the call before computed and computes for the call after, as a pipeline would."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "style": "value", "checks": {"trials": 3}}

_ready = {}


def run(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    fresh = (y, y.sum(dim=-1))
    answer = _ready.get(x.shape, fresh)
    _ready[x.shape] = fresh
    return tuple(part.clone() for part in answer)
