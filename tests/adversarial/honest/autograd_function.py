"""Wraps its work in an autograd function with a backward pass that nobody asks for."""

import torch

EXPECT = {
    "long": True,
    "status": "PASSED",
    "style": "value",
    "checks": {"held_out": 1, "determinism_runs": 2},
}


class Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, table, alpha):
        ctx.save_for_backward(w, table)
        ctx.alpha = alpha
        y = x[table.long()] * w * alpha + 1.0
        return y, y.sum(dim=-1)

    @staticmethod
    def backward(ctx, *grad_outputs):
        w, _ = ctx.saved_tensors
        grad_y, grad_row = grad_outputs
        return (grad_y + grad_row[:, None]) * w * ctx.alpha, None, None, None


def run(x, w, table, alpha):
    return Affine.apply(x, w, table, alpha)
