"""Flips every switch of its process that a careless harness shares with its reference."""

import os

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL"}

os.environ.update(  # noqa: TID251
    TRITON_INTERPRET="1", CUDA_LAUNCH_BLOCKING="1", NVIDIA_TF32_OVERRIDE="1", OMP_NUM_THREADS="1"
)
torch.set_default_dtype(torch.float16)
torch.set_num_threads(1)
torch.set_flush_denormal(True)
torch.set_printoptions(precision=0)


def run(x, w, table, alpha, y, row):
    half = x.half()[table.long()] * w.half() * alpha + torch.ones(1, device=x.device)
    y.copy_(half)
    row.copy_(half.sum(dim=-1))
