"""Kernels of a GPU are counted with the operator that launched each, and once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from kernel_harness.tools.model_level.ranking.attribution import MARK
from kernel_harness.tools.model_level.ranking.profiled_run import ATTENTION, STEP, events_of


def event(number: int, name: str, parent: Any, start: int, end: int, *kernels: Any, **more: Any):
    return SimpleNamespace(
        id=number,
        name=name,
        cpu_parent=parent,
        time_range=SimpleNamespace(start=start, end=end),
        thread=1,
        is_async=False,
        device_type=SimpleNamespace(name=more.get("device", "CPU")),
        self_cpu_time_total=1.0,
        flops=more.get("flops", 0),
        input_shapes=more.get("shapes", []),
        kernels=[SimpleNamespace(name=name, duration=us) for name, us in kernels],
    )


def test_kernels_are_with_what_launched_them_and_shadows_of_ranges_are_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    region = f"{MARK}0.0"
    step = event(1, STEP, None, 0, 100, (STEP, 90.0))
    outer = event(2, region, step, 1, 99, (region, 80.0), ("triton_kernel", 7.0))
    inner = event(3, "aten::mm", outer, 2, 50, ("gemm", 20.0), flops=64, shapes=[[2, 4], []])
    late = event(4, "aten::add", None, 200, 210, ("add", 5.0))
    shadow = event(5, region, None, 10, 90, device="CUDA")
    found = events_of([late, inner, shadow, outer, step])
    said = [(e.name, e.parent, e.device_us, e.launches, e.flops, e.shapes) for e in found]
    assert said == [
        (region, None, 7.0, 1, 0, "[]"),
        ("aten::mm", 0, 20.0, 1, 64, "[[2, 4]]"),
    ]


def test_operations_of_attention_are_those_of_a_causal_one():
    step = event(1, STEP, None, 0, 100)
    shapes = [[1, 2, 8, 4], [1, 2, 16, 4], [1, 2, 16, 4]]
    (found,) = events_of([step, event(2, ATTENTION, step, 1, 2, shapes=shapes)])
    # Two products of 8 by 16 by 4 in two heads, two operations each, of which half are masked.
    assert found.flops == 2 * (2 * 8 * 16 * 4)
    assert found.device_us is None
