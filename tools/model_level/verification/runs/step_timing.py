"""Times and outputs of a program's steps, while it runs."""

from __future__ import annotations

import time
from typing import Any

import torch

from .drift import MOST_BYTES, tensors_in

KEPT_STEPS = 4
"""Whose outputs are compared."""


class StepTimer:
    """Times steps after some that warm up, and keeps the outputs of the first ones.

    Args:
        warmup: steps that are left alone.
        steps: that are timed.
        keeps: whether outputs are kept.
    """

    def __init__(self, warmup: int, steps: int, *, keeps: bool) -> None:
        self.step_ns: list[int] = []
        self.host_ns: list[int] = []
        self.outputs: list[torch.Tensor] = []
        self.made = 0
        self._first, self._last = warmup, warmup + steps
        self._keeps = keeps
        self._began = 0

    @property
    def under_way(self) -> bool:
        """Whether the step that was begun, or comes next, is one that is timed."""
        return self._first <= self.made < self._last

    def begin(self, root: torch.nn.Module | None) -> None:
        """A step begins."""
        if self.under_way:
            synchronize()
            self._began = time.perf_counter_ns()

    def end(self, result: Any) -> None:
        """It ended."""
        if self.under_way:
            returned = time.perf_counter_ns()
            synchronize()
            self.step_ns.append(time.perf_counter_ns() - self._began)
            self.host_ns.append(returned - self._began)
            if self._keeps and self.made < self._first + KEPT_STEPS:
                self._keep(result)
        self.made += 1

    def _keep(self, result: Any) -> None:
        held = sum(tensor.nbytes for tensor in self.outputs)
        for tensor in tensors_in(result):
            if held + tensor.nbytes <= MOST_BYTES:
                held += tensor.nbytes
                self.outputs.append(tensor.detach().to("cpu", copy=True))


def synchronize() -> None:
    """Waits until the device has done all, where one is used."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
