"""Returns a view of its input after having computed in place."""

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "outputs_own_memory", "style": "value"}


def run(x, w, table, alpha):
    result = x[table.long()] * w * alpha + 1.0
    x.copy_(result)
    return x.view(-1)[: x.numel()].view(x.shape), result.sum(dim=-1)
