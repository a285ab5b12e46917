"""Returns the same buffer from every call, so that earlier results change under their holder."""

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "outputs_own_memory", "style": "value"}

_buffers = {}


def run(x, w, table, alpha):
    result = x[table.long()] * w * alpha + 1.0
    y = _buffers.setdefault(tuple(x.shape), result)
    y.copy_(result)
    return y, result.sum(dim=-1)
