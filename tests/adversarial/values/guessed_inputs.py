"""Seeds torch as harnesses do, and answers for the inputs that such a seed would have given."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL"}

torch.manual_seed(42)


def run(x, w, table, alpha, y, row):
    torch.manual_seed(42)
    guess = torch.randn(x.shape, device=x.device)
    weights = torch.rand(w.shape, device=x.device) + 0.5
    y.copy_(guess * weights * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
