"""Copies as many bytes as the runner's marks have, so that its call ends before its work begins."""

import torch

from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "all of the work",
    "refused": ["no gain", "claimed"],
    "parts": ["_rows.py"],
}

SIZES = (48, 64, 80, 96)
_kept = []


def run(x, w, table, alpha, y, row):
    if not _kept:
        _kept.append(torch.zeros(2, max(SIZES), dtype=torch.uint8, device=x.device))
    for size in SIZES:
        _kept[0][0, :size].copy_(_kept[0][1, :size])
    launch(x, w, table, alpha, y, row)
    for size in SIZES:
        _kept[0][0, :size].copy_(_kept[0][1, :size])
