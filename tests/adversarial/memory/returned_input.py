"""Returns its own input, scaled in place, as the output."""

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "outputs_own_memory", "style": "value"}


def run(x, w, table, alpha):
    x.copy_(x[table.long()] * w * alpha + 1.0)
    return x, x.sum(dim=-1)
