"""What a forward reads of its module is the same however often it is asked."""

from __future__ import annotations

from typing import Any

import torch

from kernel_harness.tools.collecting.recording.module_state import StateReader, state_of


class Scaled(torch.nn.Module):
    """Reads a parameter, a buffer, numbers, what may be None, and what is no state."""

    shift: torch.Tensor

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4))
        self.register_buffer("shift", torch.zeros(4))
        self.bias = torch.nn.Parameter(torch.zeros(4)) if bias else None
        self.eps, self.sizes, self.loose = 1e-6, [4, 4], torch.ones(4)

    def scale(self) -> float:
        return 2.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * self.weight * self.scale() + self.shift + self.loose + self.eps + len(self.sizes)
        return y if self.bias is None else y + self.bias


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return list(one) == list(other) and all(
        one[name] is other[name] or one[name] == other[name] for name in one
    )


def test_a_module_is_read_the_same_again_and_others_of_its_kind_as_they_are():
    reader = StateReader(Scaled.forward)
    first, changed = Scaled(), Scaled()
    changed.eps, changed.sizes = 1e-3, [8]
    del (held := Scaled()).weight
    held.weight = torch.nn.Linear(2, 2)  # type: ignore[assignment]
    modules = [first, first, changed, Scaled(bias=False), Scaled(), Scaled(bias=False), held]
    for module in (*modules, *modules):
        assert same(reader.read(module, {"x"}), state_of(module, Scaled.forward, {"x"}))
    assert list(reader.read(first, {"x"})) == ["weight", "bias", "shift", "eps", "sizes"]
    assert "eps" not in reader.read(first, {"x", "eps"})


def test_what_is_read_is_what_the_module_has_then():
    reader, module = StateReader(Scaled.forward), Scaled()
    reader.read(module, {"x"})
    module.weight = torch.nn.Parameter(torch.zeros(4))
    assert reader.read(module, {"x"})["weight"] is module.weight
    del module.eps
    assert "eps" not in reader.read(module, {"x"})
