"""Takes nearly all of the device's memory at its first call and keeps it."""

import torch

from ._inside import once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "a baseline that cannot be timed",
    "refused": ["no gain", "claimed", "RUNTIME_ERROR"],
    "parts": ["_rows.py", "_inside.py"],
}

_kept = []


@once
def mount():
    free, _ = torch.cuda.mem_get_info()
    _kept.append(torch.empty(max(free - (4 << 30), 0), dtype=torch.uint8, device="cuda"))


def run(x, w, table, alpha, y, row):
    mount()
    launch(x, w, table, alpha, y, row)
