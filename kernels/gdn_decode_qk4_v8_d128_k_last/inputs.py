"""Inputs of the gated delta step: what a model would hand over, and what breaks a kernel.

Keys and queries have unit length, as in every model that uses this operator: with longer keys the
recurrence explodes within a few tokens and no comparison means anything. Gates and states have the
sizes that a trained model shows, so that outputs stand well above any fixed tolerance.

It does not promise the tensors that were captured from a model; those are not public.
"""

from __future__ import annotations

import math
import random
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

    q = torch.nn.functional.normalize(normal(batch, 1, QK_HEADS, SIZE), dim=-1)
    k = torch.nn.functional.normalize(normal(batch, 1, QK_HEADS, SIZE), dim=-1)
    v = normal(batch, 1, V_HEADS, SIZE)
    state = 0.5 * normal(batch, V_HEADS, SIZE, SIZE)
    A_log = uniform(1.0, 16.0, V_HEADS).log()
    step = uniform(math.log(1e-3), math.log(1e-1), V_HEADS).exp()
    dt_bias = step + torch.log(-torch.expm1(-step))
    a, b = normal(batch, 1, V_HEADS), normal(batch, 1, V_HEADS)

    if family == "wide_magnitude":
        v = v * 10 ** uniform(-3.0, 3.0, *v.shape)
        state = state * 10 ** uniform(-3.0, 3.0, *state.shape)
    elif family == "offset":
        v, state = v + 8.0, state + 2.0
    elif family == "one_huge_element":
        column = torch.randint(SIZE, (batch, 1, V_HEADS, 1), generator=generator, device=v.device)
        v = v.scatter(-1, column, 3e3)
        state[:, :, 7, 11] = 3e3
    elif family == "empty_state":
        state = torch.zeros_like(state)
    elif family == "decay_near_one":
        a, A_log = a - 12.0, torch.zeros_like(A_log)
    elif family == "decay_near_zero":
        a, A_log = a + 12.0, torch.full_like(A_log, math.log(16.0))
    elif family == "saturated_update":
        b = torch.where(b > 0, 30.0, -30.0)
    elif family == "exact_integers":
        v, state = v.round(), state.round()
        q, k = _one_hot(q), _one_hot(k)
        b = torch.full_like(b, 30.0)
        a = torch.full_like(a, -100.0)

    low = {"q": q, "k": k, "v": v, "a": a, "b": b}
    drawn = {name: tensor.to(device, torch.bfloat16) for name, tensor in low.items()}
    high = {"state": state, "A_log": A_log, "dt_bias": dt_bias}
    drawn |= {name: tensor.to(device, torch.float32) for name, tensor in high.items()}
    order = ("q", "k", "v", "state", "A_log", "a", "dt_bias", "b")
    scale = (scalars or {}).get("scale", 1.0 / math.sqrt(SIZE))
    return {**{name: drawn[name].contiguous() for name in order}, "scale": float(scale)}


def _one_hot(vectors: torch.Tensor) -> torch.Tensor:
    """Unit vectors along the largest component: sums with them are exact."""
    return torch.zeros_like(vectors).scatter(-1, vectors.abs().argmax(-1, keepdim=True), 1.0)


PUBLIC_BATCHES = (1, 4, 8, 16, 32, 48, 64)
PRIME_BATCHES = (2, 3, 5, 7, 11, 13, 19, 23, 29, 37, 41, 53, 61)


def held_out(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Draws batch sizes that no public workload has.

    Args:
        rng: decides them.
        count: how many.

    Returns:
        Dicts with `axes`, `structure` and `kind` ('near', 'between' or 'prime'). The first is
        small, so that a slow executor can afford one.
    """
    cases = []
    for number in range(count):
        largest = 8 if number == 0 else 64
        kind = rng.choice(("near", "between", "prime"))
        if kind == "near":
            known = [size for size in PUBLIC_BATCHES if 1 < size <= largest]
            batch = rng.choice(known) + rng.choice((-1, 1))
        elif kind == "between":
            batch = rng.choice([n for n in range(2, largest) if n not in PUBLIC_BATCHES])
        else:
            batch = rng.choice([prime for prime in PRIME_BATCHES if prime <= largest])
        cases.append({"axes": {"batch_size": batch}, "structure": {}, "kind": kind})
    return cases
