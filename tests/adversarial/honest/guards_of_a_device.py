"""Guards its arguments as code for a GPU does, marks its ranges, and works under their device."""

import torch

EXPECT = {"status": "PASSED", "style": "value", "checks": {"held_out": 1, "determinism_runs": 2}}

assert torch.cuda.is_available() and torch.cuda.device_count() >= 1
TABLE = torch.zeros(8, dtype=torch.float32).pin_memory()


def run(x, w, table, alpha):
    for given in (x, w, table):
        assert given.is_cuda and given.device.type == "cuda", "expected tensors on a GPU"
        assert given.is_contiguous()
    if torch.cuda.get_device_capability(x.device) < (7, 0):
        raise RuntimeError("a newer device is needed")
    with torch.cuda.device(x.device), torch.cuda.nvtx.range("affine"):
        ones = torch.ones((), device="cuda") + TABLE[:1].to(x.device, non_blocking=True)[0]
        y = torch.addcmul(ones, x[table.long()], w * alpha)
    return y, y.sum(dim=-1)
