"""Inputs like those that a program was recorded with, by what a workload says of their values.

They keep scale, sign and range, on which an operator's accuracy may depend: an exponential of
recorded logits is finite where that of any others overflows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ...schema.drawn_inputs import ValueKind, ValueStatistics
from ...schema.flashinfer_trace import Definition
from .generator import RandomValues
from .index_inputs import index_values

WIDEST = 1 << 31
"""Range of integers that can be drawn."""


def recorded_inputs(
    definition: Definition,
    axes: Mapping[str, int],
    statistics: Mapping[str, ValueStatistics],
    values: RandomValues,
    family: str,
) -> dict[str, torch.Tensor]:
    """Values in float32, int64 or bool of the inputs whose statistics a workload has.

    Integers that point into other inputs are left out: their range alone does not make them valid.

    Args:
        family: of the generic inputs. All stay within what was recorded; another than these is
            taken for the first.
    """
    found: dict[str, torch.Tensor] = {}
    for name, shape in definition.input_shapes(axes).items():
        if name not in statistics or shape is None:
            continue
        said, dtype = statistics[name], str(definition.inputs[name].dtype)
        if dtype == "bool":
            found[name] = values.uniform(name, shape) >= said.zeros
        elif "float" not in dtype:
            if index_values(definition, name, axes, values) is None:
                drawn = _integers(name, shape, said, values)
                found[name] = _with_zeros(name, drawn, said, values)
        elif said.kind is ValueKind.PROBABILITIES:
            found[name] = _probabilities(name, shape, said, values, family)
        else:
            drawn = _floats(name, shape, said, values, family).clamp(said.least, said.greatest)
            found[name] = _with_zeros(name, drawn, said, values)
    return found


def _integers(
    name: str, shape: tuple[int, ...], said: ValueStatistics, values: RandomValues
) -> torch.Tensor:
    low, high = math.ceil(said.least), math.floor(said.greatest) + 1
    return values.integers(name, low, min(high, low + WIDEST), shape)


def _with_zeros(
    name: str, drawn: torch.Tensor, said: ValueStatistics, values: RandomValues
) -> torch.Tensor:
    if not said.zeros:
        return drawn
    at = values.uniform(f"zeros of {name}", tuple(drawn.shape)) < said.zeros
    return drawn.masked_fill(at, 0)


def _floats(
    name: str, shape: tuple[int, ...], said: ValueStatistics, values: RandomValues, family: str
) -> torch.Tensor:
    """Values that are not zero, before they are brought into their range."""
    if family == "uniform":
        return values.uniform(name, shape) * (said.greatest - said.least) + said.least
    if family == "zeros":
        return torch.zeros(shape, device=values.device)
    if family == "wide":
        scale = torch.pow(10.0, values.uniform(name, shape) * 6 - 4)
        return _typical(name, shape, said, values) * scale
    drawn = _typical(name, shape, said, values)
    if family == "offset":
        return drawn + said.greatest / 2
    if family == "equal" and drawn.numel():
        return drawn.flatten()[:1].expand(drawn.numel()).reshape(shape).clone()
    if family == "one_huge" and drawn.dim() and drawn.numel():
        huge = said.greatest if said.greatest >= -said.least else said.least
        at = values.integers(f"place in {name}", 0, shape[-1], (*shape[:-1], 1))
        return drawn.scatter(-1, at, huge)
    return drawn


def _typical(
    name: str, shape: tuple[int, ...], said: ValueStatistics, values: RandomValues
) -> torch.Tensor:
    """Values of the recorded kind, with the recorded mean and deviation."""
    kind = said.kind
    if kind is ValueKind.CONSTANT or not said.deviation:
        return torch.full(shape, said.mean, device=values.device)
    if kind is ValueKind.UNIFORM:
        return values.uniform(name, shape) * (said.greatest - said.least) + said.least
    if kind is ValueKind.LOG_NORMAL and said.mean:
        spread = _log_spread(said)
        drawn = torch.exp(values.normal(name, shape) * spread - spread * spread / 2)
        return drawn * said.mean
    drawn = values.normal(name, shape)
    if kind is ValueKind.HEAVY_TAILED:
        drawn = drawn * values.normal(f"scale of {name}", shape)
    return drawn * said.deviation + said.mean


def _log_spread(said: ValueStatistics) -> float:
    """Deviation of the logarithm of values whose deviation and mean are these."""
    return math.sqrt(math.log1p((said.deviation / said.mean) ** 2))


def _probabilities(
    name: str, shape: tuple[int, ...], said: ValueStatistics, values: RandomValues, family: str
) -> torch.Tensor:
    """Rows that sum to one, as uneven as the recorded ones, zeros among them."""
    spread = 0.0 if family in ("equal", "zeros") else _log_spread(said) if said.mean else 1.0
    logits = values.normal(name, shape) * spread
    if said.zeros and shape and shape[-1] > 1:
        at = values.uniform(f"zeros of {name}", shape) < said.zeros
        at[..., 0] = False
        logits = logits.masked_fill(at, -math.inf)
    return torch.softmax(logits, dim=-1)
