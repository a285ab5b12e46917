"""Returns its outputs with names."""

from typing import NamedTuple

from torch import Tensor

EXPECT = {"status": "PASSED", "style": "value"}


class Outputs(NamedTuple):
    y: Tensor
    row: Tensor


def run(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return Outputs(y, y.sum(dim=-1))
