"""Calls a torch module that keeps its constants in buffers, as code from a model does."""

import torch
from torch import nn

EXPECT = {"status": "PASSED", "style": "value", "checks": {"held_out": 1, "determinism_runs": 2}}


class Affine(nn.Module):
    def __init__(self, offset: float) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor(offset))

    def forward(self, x, w, table, alpha):
        y = nn.functional.embedding(table.long(), x) * w * alpha + self.offset
        return y, y.sum(dim=-1)


MODELS = {}


@torch.inference_mode()
def run(x, w, table, alpha):
    if x.device not in MODELS:
        MODELS[x.device] = Affine(1.0).to(x.device).eval()
    return MODELS[x.device](x, w, table, alpha)
