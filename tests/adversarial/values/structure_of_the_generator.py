"""Takes the order of an index for the identity after having seen it once."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL", "checks": {"trials": 2}}

_orders = {}


def run(x, w, table, alpha, y, row):
    order = _orders.setdefault(table.shape, table.long().clone())
    y.copy_(torch.index_select(x, 0, order) * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
