"""Generators and definitions for the tests of this folder."""

from __future__ import annotations

import torch

from kernel_harness.tools.judge.operators.generic_operator import (
    Value,
)
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.operators.operator_adapter import (
    Case,
)
from kernel_harness.tools.schema.flashinfer_trace import Definition

CPU = torch.device("cpu")
CASE = Case("w", {"m": 5}, scalars={"alpha": 0.5})


def tensor(value: Value) -> torch.Tensor:
    """An input that must be a tensor."""
    assert isinstance(value, torch.Tensor)
    return value


def input_generator(operator, **options) -> InputGenerator:
    return InputGenerator(operator, CPU, SeedBook(**options), PrefetchedInputs(1 << 20))


def generic_definition(**changes) -> Definition:
    fields = {
        "name": "generic",
        "op_type": "demo",
        "axes": {"m": {"type": "var"}, "n": {"type": "const", "value": 8}},
        "inputs": {
            "x": {"shape": ["m", "n"], "dtype": "bfloat16"},
            "s": {"shape": None, "dtype": "float32", "default": 1.5},
        },
        "outputs": {"y": {"shape": ["m", "n"], "dtype": "bfloat16"}},
        "reference": "import torch\ndef run(x, s):\n    return (x.float() * s).to(x.dtype)\n",
    }
    return Definition.model_validate({**fields, **changes})
