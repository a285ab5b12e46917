"""Inputs of the gated delta rule over prompts: what a model hands over, and what breaks a kernel.

Keys and queries have unit length, as in every model that uses this operator: with longer keys the
recurrence explodes within a few tokens and no comparison means anything. Gates and states have the
sizes that a trained model shows, so that outputs stand well above any fixed tolerance.

It does not promise the captured tensors, which are not public, nor the captured sequence lengths:
structure.json says for each workload whether they are exact, inferred or drawn.
"""

from __future__ import annotations

import math
import random
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
    "repeated_keys",
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
        axes: needs `total_seq_len` and `num_seqs`.
        structure: its `seq_lens` are the sequences' lengths; an even split when absent.
        scalars: the workload's; `scale` is 1 / sqrt(128) when absent.
        generator: decides every value; tensors are drawn on its device.
        device: where the inputs shall lie.
        family: one of `FAMILIES`.

    Returns:
        Every input of the definition by name, in its order.

    Raises:
        ValueError: when `seq_lens` contradicts the axes, or the family is unknown.
    """
    if family not in FAMILIES:
        raise ValueError(f"no family {family!r}; there are {', '.join(FAMILIES)}")
    total, sequences = axes["total_seq_len"], axes["num_seqs"]
    lengths = (structure or {}).get("seq_lens") or even_split(total, sequences)
    if len(lengths) != sequences or sum(lengths) != total:
        raise ValueError(f"seq_lens {lengths} do not make {sequences} sequences, {total} tokens")

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=generator.device)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        draw = torch.rand(shape, generator=generator, device=generator.device)
        return low + (high - low) * draw

    step = uniform(math.log(1e-3), math.log(1e-1), V_HEADS).exp()
    drawn = {
        "q": torch.nn.functional.normalize(normal(total, QK_HEADS, SIZE), dim=-1),
        "k": torch.nn.functional.normalize(normal(total, QK_HEADS, SIZE), dim=-1),
        "v": normal(total, V_HEADS, SIZE),
        "state": 0.5 * normal(sequences, V_HEADS, SIZE, SIZE),
        "A_log": uniform(1.0, 16.0, V_HEADS).log(),
        "a": normal(total, V_HEADS),
        "dt_bias": step + torch.log(-torch.expm1(-step)),
        "b": normal(total, V_HEADS),
    }
    drawn |= _of_family(family, drawn, uniform)
    for name, tensor in drawn.items():
        dtype = torch.float32 if name in ("state", "A_log", "dt_bias") else torch.bfloat16
        drawn[name] = tensor.to(device, dtype).contiguous()
    bounds = torch.tensor([0, *lengths], dtype=torch.int64).cumsum(0)
    scale = (scalars or {}).get("scale", 1.0 / math.sqrt(SIZE))
    return {**drawn, "cu_seqlens": bounds.to(device), "scale": float(scale)}


def _of_family(
    family: str, drawn: dict[str, torch.Tensor], uniform: Callable[..., torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The typical inputs that a family replaces."""
    k, v, state, a, A_log = (drawn[name] for name in ("k", "v", "state", "a", "A_log"))
    total = len(v)
    if family == "wide_magnitude":
        # Six decades below one: above it, bfloat16 operands miss any fixed absolute tolerance.
        scaled_state = state * 10 ** uniform(-6.0, 0.0, *state.shape)
        return {"v": v * 10 ** uniform(-6.0, 0.0, *v.shape), "state": scaled_state}
    if family == "offset":
        return {"v": v + 3.0, "state": state + 0.5}
    if family == "one_huge_element":
        v[total // 2, :, 7] = 30.0
        state[:, :, 7, 11] = 30.0
    if family == "empty_state":
        return {"state": torch.zeros_like(state)}
    if family == "decay_near_one":
        return {"a": a - 12.0, "A_log": torch.zeros_like(A_log)}
    if family == "decay_near_zero":
        return {"a": a + 12.0, "A_log": torch.full_like(A_log, math.log(16.0))}
    if family == "saturated_update":
        return {"b": torch.where(drawn["b"] > 0, 30.0, -30.0)}
    if family == "repeated_keys":
        # Four keys in all: the triangular systems of a chunk are as dense as they can be.
        return {"k": k[torch.arange(total, device=k.device) % min(4, total)]}
    if family == "exact_integers":
        whole = {"v": v.round(), "state": state.round(), "q": _one_hot(drawn["q"])}
        gates = {"b": torch.full_like(drawn["b"], 30.0), "a": torch.full_like(a, -100.0)}
        return {**whole, **gates, "k": _one_hot(k)}
    return {}


def _one_hot(vectors: torch.Tensor) -> torch.Tensor:
    """Unit vectors along the largest component: sums with them are exact."""
    return torch.zeros_like(vectors).scatter(-1, vectors.abs().argmax(-1, keepdim=True), 1.0)


def even_split(total: int, parts: int) -> list[int]:
    """Lengths that differ by at most one and sum to `total`."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def skewed_split(rng: random.Random, total: int, parts: int) -> list[int]:
    """Lengths as prompts have them: most short, few long, none empty, summing to `total`."""
    weights = [rng.lognormvariate(0.0, 1.2) for _ in range(parts)]
    spare = total - parts
    lengths = [1 + int(spare * weight / sum(weights)) for weight in weights]
    lengths[rng.randrange(parts)] += total - sum(lengths)
    return lengths


PUBLIC_TOTALS = (6, 16, 35, 64, 97, 134, 255, 525, 983, 1800, 2107, 4124, 8192)
KINDS = ("near", "between", "prime", "empty", "one_long_many_short", "many_short")


def held_out(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Draws sequence lengths that no public workload has.

    Args:
        rng: decides them.
        count: how many.

    Returns:
        Dicts with `axes`, `structure` (`seq_lens`) and `kind`, one of `KINDS`. The first is small,
        so that a slow executor can afford one; kinds repeat only when all were used.
    """
    cases, kinds = [], []
    for number in range(count):
        kinds = kinds or rng.sample(KINDS, len(KINDS))
        kind = kinds.pop()
        lengths = _lengths(rng, kind, 140 if number == 0 else 2200)
        axes = {
            "total_seq_len": sum(lengths),
            "num_seqs": len(lengths),
            "len_cu_seqlens": len(lengths) + 1,
        }
        cases.append({"axes": axes, "structure": {"seq_lens": lengths}, "kind": kind})
    return cases


def _lengths(rng: random.Random, kind: str, largest: int) -> list[int]:
    """Sequence lengths of one held-out case of at most about `largest` tokens."""
    parts = rng.randint(2, 5)
    total = int(math.exp(rng.uniform(math.log(40), math.log(largest))))
    if kind == "near":
        known = [n for n in PUBLIC_TOTALS if n <= largest]
        return [rng.choice(known) + rng.choice((-1, 1))]
    if kind == "prime":
        primes = [n for n in (7, 59, 71, 127, 131, 257, 521, 1021, 2053) if n <= largest]
        return [rng.choice(primes)]
    if kind == "empty":
        lengths = [0, *skewed_split(rng, total, parts), 0]
        lengths.insert(rng.randrange(1, len(lengths)), 0)
        return lengths
    if kind == "one_long_many_short":
        shorts = [rng.randint(1, 5) for _ in range(rng.randint(4, 9))]
        shorts.insert(rng.randrange(len(shorts) + 1), max(total - sum(shorts), 1))
        return shorts
    if kind == "many_short":
        return [rng.randint(1, 9) for _ in range(rng.randint(9, 24))]
    return skewed_split(rng, total, parts)
