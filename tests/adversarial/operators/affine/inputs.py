"""Inputs of a gather with a scale: small enough that only a judge's work is seen."""

from __future__ import annotations

import torch

FAMILIES = ("typical", "large", "negative")
HELD_OUT_SIZES = (1, 2, 5, 31, 33, 65, 127)


def generate(axes, *, structure, scalars, generator, device, family="typical"):
    """Draws x [m, n], w [n], table [m] and alpha."""
    m, n = axes["m"], axes["n"]
    x = torch.randn(m, n, generator=generator, device=device)
    w = torch.rand(n, generator=generator, device=device) + 0.5
    if family == "large":
        x = x * 1e4
    if family == "negative":
        x, w = -x.abs(), -w
    table = torch.randperm(m, generator=generator, device=device).int()
    return {"x": x, "w": w, "table": table, "alpha": float(scalars.get("alpha", 0.5))}


def held_out(rng, count):
    """Sizes that no workload has."""
    sizes = rng.sample(HELD_OUT_SIZES, min(count, len(HELD_OUT_SIZES)))
    return [{"axes": {"m": m}, "structure": None, "kind": "near"} for m in sizes]
