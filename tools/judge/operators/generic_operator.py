"""Inputs for an operator whose folder has no inputs.py, and what its oracle is made of.

Inputs have the distributions of flashinfer-bench's `gen_inputs`, from a seed, or those that the
workload recorded; integers that point into other inputs do so. The oracle is the definition's
reference on inputs widened to float32, where it takes them; the trusted implementation is the
reference itself.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch

from ...errors import DatasetError
from ...schema.drawn_inputs import ValueStatistics
from ...schema.flashinfer_trace import Definition, DType
from ..numerics.limits import ToleranceLimits
from ..numerics.packed import FLOAT4_PAIRS
from ..philox.generator import RandomValues
from ..philox.index_inputs import index_values
from ..philox.recorded_inputs import recorded_inputs

TORCH_DTYPES: dict[str, torch.dtype] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
    "float4_e2m1fn_x2": FLOAT4_PAIRS,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
BYTES = {torch.int8: (-128, 128), torch.uint8: (0, 256)}
WIDENED = (torch.float16, torch.bfloat16)
FAMILIES = ("typical", "uniform", "wide", "offset", "zeros", "equal", "one_huge")
"""Distributions of float inputs; the first is flashinfer-bench's."""

Value = torch.Tensor | float | int | bool


def torch_dtype(dtype: DType | str) -> torch.dtype:
    """The torch dtype of a FlashInfer-Trace dtype.

    Raises:
        DatasetError: for float4 that is not in pairs, of which there is no torch tensor.
    """
    name = str(dtype)
    if name not in TORCH_DTYPES:
        remedy = "Declare float4_e2m1fn_x2, two numbers in a byte, with half the extent."
        raise DatasetError(f"There is no torch tensor of dtype {name}", remedy=remedy)
    return TORCH_DTYPES[name]


def compared_dtype(dtype: DType | str) -> torch.dtype:
    """The dtype in which outputs that are declared so are compared."""
    found = torch_dtype(dtype)
    return torch.float8_e4m3fn if found == FLOAT4_PAIRS else found


def generate_inputs(
    definition: Definition,
    axes: Mapping[str, int],
    scalars: Mapping[str, Value],
    values: RandomValues,
    family: str,
    distributions: Collection[str] = (),
) -> dict[str, Value]:
    """Random values for every input of a definition.

    Args:
        distributions: inputs whose last axis holds probabilities.
        scalars: values that the workload states, used as they are.
        values: what they are made of; they lie on its device.
        family: one of `FAMILIES`; integers and booleans have one distribution in all of them.

    Raises:
        DatasetError: for a scalar without a value. One drawn at random, an epsilon of 1.5 say,
            makes another operator of it.
    """
    inputs: dict[str, Value] = {}
    scalars = {**definition.scalar_defaults, **scalars}
    for name, shape in definition.input_shapes(axes).items():
        dtype = torch_dtype(definition.inputs[name].dtype)
        if name in scalars:
            inputs[name] = scalars[name]
        elif shape is None:
            raise DatasetError(
                f"Scalar {name!r} has no value: no workload states it and the definition has no "
                "default",
                where=definition.name,
                remedy='State {"type": "scalar", "value": …} for it in each workload, or give '
                'the input a "default" in definition.json.',
            )
        elif name in distributions or (definition.op_type == "sampling" and name == "probs"):
            logits = values.normal(name, shape)
            inputs[name] = torch.softmax(logits, dim=-1).to(dtype)
        elif (found := index_values(definition, name, axes, values)) is not None:
            inputs[name] = found.to(dtype)
        else:
            inputs[name] = _tensor(name, shape, dtype, values, family)
    return inputs


def recorded_values(
    definition: Definition,
    axes: Mapping[str, int],
    statistics: Mapping[str, ValueStatistics],
    values: RandomValues,
    family: str,
) -> dict[str, torch.Tensor]:
    """The like of recorded inputs, of those whose statistics a workload has."""
    drawn = recorded_inputs(definition, axes, statistics, values, family)
    return {
        name: value.to(torch_dtype(definition.inputs[name].dtype)) for name, value in drawn.items()
    }


def input_bytes(definition: Definition, axes: Mapping[str, int]) -> int:
    """Bytes of all input tensors."""
    return sum(
        math.prod(shape) * torch_dtype(definition.inputs[name].dtype).itemsize
        for name, shape in definition.input_shapes(axes).items()
        if shape is not None
    )


def _tensor(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, values: RandomValues, family: str
) -> torch.Tensor:
    if dtype == torch.bool:
        return values.integers(name, 0, 2, shape).bool()
    if dtype == FLOAT4_PAIRS:  # every byte is two numbers
        return values.integers(name, 0, 256, shape).to(torch.uint8).view(dtype)
    if not dtype.is_floating_point:
        low, high = BYTES.get(dtype, (-1024, 1025))
        return values.integers(name, low, high, shape).to(dtype)
    drawn = _floats(name, shape, values, family)
    if dtype.itemsize == 1:
        drawn = drawn.clamp(-2, 2)
    return drawn.to(dtype)


def _floats(name: str, shape: tuple[int, ...], values: RandomValues, family: str) -> torch.Tensor:
    normal = values.normal(name, shape)
    if family == "uniform":
        return values.uniform(name, shape)
    if family == "wide":
        exponent = values.uniform(name, shape) * 6 - 4
        return normal.sign() * torch.pow(10.0, exponent)
    if family == "offset":
        return normal + 10
    if family == "zeros":
        return torch.zeros_like(normal)
    if family == "equal":
        return normal.flatten()[:1].expand(normal.numel()).reshape(shape).clone()
    if family == "one_huge" and normal.dim() and normal.numel():
        at = values.integers(name, 0, shape[-1], (*shape[:-1], 1))
        return normal.scatter(-1, at, 50.0)
    return normal


def widened(inputs: Mapping[str, Value]) -> dict[str, Value] | None:
    """The inputs with half-precision tensors as float32; None when there are none."""
    changed = {
        name: value.float()
        for name, value in inputs.items()
        if isinstance(value, torch.Tensor) and value.dtype in WIDENED
    }
    return {**inputs, **changed} if changed else None


def close(wide: torch.Tensor, exact: torch.Tensor, limits: ToleranceLimits) -> bool:
    """Whether the reference computed the same on wider inputs."""
    if not exact.dtype.is_floating_point:
        return False
    return torch.allclose(
        wide.double(), exact.double(), rtol=10 * limits.rtol, atol=10 * limits.atol, equal_nan=True
    )
