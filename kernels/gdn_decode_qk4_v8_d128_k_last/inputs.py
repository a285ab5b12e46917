"""Inputs of the gated delta step: what a model would hand over, and what breaks a kernel.

Keys and queries have unit length, as in every model that uses this operator: with longer keys the
recurrence explodes within a few tokens and no comparison means anything. Gates and states have the
sizes that a trained model shows, so that outputs stand well above any fixed tolerance.

It does not promise the tensors that were captured from a model; those are not public.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

QK_HEADS, V_HEADS, SIZE = 4, 8, 128
FAMILIES = (
    "typical",
    "wide_magnitude",
    "offset",
    "one_huge_element",
    "empty_state",
    "decay_near_one",
    "decay_near_zero",
    "saturated_update",
    "exact_integers",
)


def generate(
    axes: dict[str, int],
    *,
    structure: dict[str, Any] | None,
    scalars: dict[str, float] | None,
    generator: torch.Generator,
    device: torch.device | str,
    family: str = "typical",
) -> dict[str, Any]:
    """Draws one set of inputs.

    Args:
        axes: needs `batch_size`.
        structure: not used; batch elements do not differ.
        scalars: the workload's; `scale` is 1 / sqrt(128) when absent.
        generator: decides every value; tensors are drawn on its device.
        device: where the inputs shall lie.
        family: one of `FAMILIES`.

    Returns:
        Every input of the definition by name, in its order.
    """
    if family not in FAMILIES:
        raise ValueError(f"no family {family!r}; there are {', '.join(FAMILIES)}")
    batch = axes["batch_size"]

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=generator.device)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        draw = torch.rand(shape, generator=generator, device=generator.device)
        return low + (high - low) * draw

    step = uniform(math.log(1e-3), math.log(1e-1), V_HEADS).exp()
    drawn = {
        "q": torch.nn.functional.normalize(normal(batch, 1, QK_HEADS, SIZE), dim=-1),
        "k": torch.nn.functional.normalize(normal(batch, 1, QK_HEADS, SIZE), dim=-1),
        "v": normal(batch, 1, V_HEADS, SIZE),
        "state": 0.5 * normal(batch, V_HEADS, SIZE, SIZE),
        "A_log": uniform(1.0, 16.0, V_HEADS).log(),
        "a": normal(batch, 1, V_HEADS),
        "dt_bias": step + torch.log(-torch.expm1(-step)),
        "b": normal(batch, 1, V_HEADS),
    }
    drawn |= _of_family(family, drawn, uniform)
    for name, tensor in drawn.items():
        dtype = torch.float32 if name in ("state", "A_log", "dt_bias") else torch.bfloat16
        drawn[name] = tensor.to(device, dtype).contiguous()
    scale = (scalars or {}).get("scale", 1.0 / math.sqrt(SIZE))
    return {**drawn, "scale": float(scale)}


def _of_family(
    family: str, drawn: dict[str, torch.Tensor], uniform: Callable[..., torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The typical inputs that a family replaces."""
    v, state, a, A_log = (drawn[name] for name in ("v", "state", "a", "A_log"))
    if family == "wide_magnitude":
        scaled_state = state * 10 ** uniform(-3.0, 3.0, *state.shape)
        return {"v": v * 10 ** uniform(-3.0, 3.0, *v.shape), "state": scaled_state}
    if family == "offset":
        return {"v": v + 8.0, "state": state + 2.0}
    if family == "one_huge_element":
        column = (SIZE * uniform(0.0, 1.0, *v.shape[:-1], 1)).long().clamp_max(SIZE - 1)
        state[:, :, 7, 11] = 3e3
        return {"v": v.scatter(-1, column, 3e3)}
    if family == "empty_state":
        return {"state": torch.zeros_like(state)}
    if family == "decay_near_one":
        return {"a": a - 12.0, "A_log": torch.zeros_like(A_log)}
    if family == "decay_near_zero":
        return {"a": a + 12.0, "A_log": torch.full_like(A_log, math.log(16.0))}
    if family == "saturated_update":
        return {"b": torch.where(drawn["b"] > 0, 30.0, -30.0)}
    if family == "exact_integers":
        whole = {"v": v.round(), "state": state.round()}
        unit = {"q": _one_hot(drawn["q"]), "k": _one_hot(drawn["k"])}
        gates = {"b": torch.full_like(drawn["b"], 30.0), "a": torch.full_like(a, -100.0)}
        return {**whole, **unit, **gates}
    return {}


def _one_hot(vectors: torch.Tensor) -> torch.Tensor:
    """Unit vectors along the largest component: sums with them are exact."""
    return torch.zeros_like(vectors).scatter(-1, vectors.abs().argmax(-1, keepdim=True), 1.0)
