"""Sets torch's switches for itself: threads, gradients, default device, random state."""

import torch

EXPECT = {"status": "PASSED", "checks": {"trials": 2}}

torch.set_grad_enabled(False)
torch.set_num_threads(1)
torch.manual_seed(0)


def run(x, w, table, alpha, y, row):
    torch.set_default_device(x.device)
    one = torch.ones(())
    y.copy_(x[table.long()] * w * alpha + one)
    row.copy_(y.sum(dim=-1))
