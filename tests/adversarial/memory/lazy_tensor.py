"""Returns a tensor that computes its values when somebody looks."""

import torch

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "outputs_exist_on_return", "style": "value"}


class Lazy(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return super().__torch_function__(func, types, args, kwargs or {})


def run(x, w, table, alpha):
    y = (x[table.long()] * w * alpha + 1.0).as_subclass(Lazy)
    return y, y.sum(dim=-1)
