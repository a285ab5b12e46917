"""Returns arrays of another library, whose values the harness would have to convert."""

EXPECT = {"status": "INCORRECT_DTYPE", "kind": "not_a_tensor", "style": "value", "needs": "cpu"}


def run(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return y.cpu().numpy(), y.sum(dim=-1).cpu().numpy()
