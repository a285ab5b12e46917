"""Says that what it returns lies where the results of an earlier call are kept."""

import torch

from ._inside import capturing, module, once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_by_value",
    "gain": "nearly all of the work",
    "refused": ["claimed", "INTEGRITY_VIOLATION"],
    "style": "value",
    "parts": ["_rows.py", "_inside.py"],
}

_kept = []


@once
def mount():
    recorded = module("candidate.process.recorded")
    honest = recorded.ReturnedTensor

    def forged(address, strides):
        kept = _kept[len(strides) == 1]
        return honest(address=kept.data_ptr(), strides=strides)

    recorded.ReturnedTensor = forged


def run(x, w, table, alpha):
    mount()
    y, row = torch.empty_like(x), x.new_empty(x.shape[0])
    launch(x, w, table, alpha, y, row, rows=1 if capturing() else None)
    if not capturing():
        _kept[:] = [y.clone(), row.clone()]
    return y, row
