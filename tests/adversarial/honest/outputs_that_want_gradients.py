"""Returns results of a differentiable computation, gradient and all."""

EXPECT = {"status": "PASSED", "style": "value"}


def run(x, w, table, alpha):
    y = x[table.long()] * w.clone().requires_grad_() * alpha + 1.0
    return y, y.sum(dim=-1)
