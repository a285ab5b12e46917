"""The code of a routed call in a program with several GPUs, with tensors of the host for theirs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kernel_harness.tools.applying.call_code import CallCode
from kernel_harness.tools.applying.proven_sizes import ProvenSizes

from .conftest import KERNEL

OF_THE_HOST = -1
"""The number of a device that a tensor has which is on no GPU."""


@pytest.mark.parametrize(("current", "taken"), [(OF_THE_HOST, True), (0, False)])
def test_of_several_gpus_only_the_current_ones_tensors_go_to_the_kernel(current, taken):
    parameters: dict[str, Any] = dict.fromkeys(KERNEL.inputs, 2.0)
    code = CallCode(ProvenSizes(KERNEL), True, True, parameters, own_outputs=False)
    missed: list[Any] = []
    names: dict[str, Any] = {
        "here": lambda: current,
        "original": lambda *given: "original",
        "known": {},
        "decide": lambda key, values: lambda *given: "kernel",
        "missed": missed.append,
        "failed": None,
    }
    routed, _ = code.functions(names)
    given = torch.ones(4, 8), torch.ones(8), 2.0
    assert routed(*given) == ("kernel" if taken else "original")
    assert len(missed) == (not taken)
