"""Inputs of sparse latent attention: queries, a paged cache, and the rows that each token selects.

For the judge only. Rows are what a top-k indexer emits for one decode step: a short sequence
selects all its rows in order, a long one `topk` of them in order of score. Which rows is not known
for the public workloads, only how many (`structure`), so pages are drawn anew each time.

The cache holds normal values. On a GPU every element is drawn; on a CPU one block of pages is
drawn and repeated with a factor per page, because a fresh draw of 624 MB takes seconds there.
Pages then differ by a factor only, which still tells one page from another.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import torch

FAMILIES = (
    "typical",
    "scattered_padding",
    "duplicated_rows",
    "empty_row",
    "peaked",
    "flat",
    "offset_values",
)
"""How inputs are drawn; the first is what workloads are timed on."""

REWRITE_PARTLY = ("ckv_cache", "kpe_cache")
"""Inputs too large to redraw for each call; `rewrite` changes some of their rows."""

DIMENSIONS = {
    "num_qo_heads": 16,
    "head_dim_ckv": 512,
    "head_dim_kpe": 64,
    "page_size": 64,
    "topk": 2048,
}
SM_SCALE = 0.1352337788608801
DISTINCT_PAGES = 256
REWRITTEN_ROWS = 4096
_LONGEST_FACTOR = 3
_QUERY_FACTOR = {"peaked": 8.0, "flat": 1e-3}


def generate(
    axes: Mapping[str, int],
    *,
    structure: Mapping[str, Any] | None,
    scalars: Mapping[str, Any] | None,
    generator: torch.Generator,
    device: torch.device | str,
    family: str = "typical",
) -> dict[str, torch.Tensor | float | int]:
    """Draws one set of inputs.

    Args:
        axes: num_tokens and num_pages; the constants of the definition may be overridden.
        structure: `valid_indices_per_token`, one count per token; drawn when absent.
        scalars: `sm_scale`; the published workloads' value when absent.
        generator: all randomness comes from it.
        device: where the tensors are to be.
        family: one of `FAMILIES`.

    Returns:
        The inputs by name: q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale.

    Raises:
        ValueError: for an unknown family, or counts that the cache cannot hold.
    """
    if family not in FAMILIES:
        raise ValueError(f"Unknown family {family!r}; known: {', '.join(FAMILIES)}")
    sizes = DIMENSIONS | dict(axes)
    pages, tokens, heads = sizes["num_pages"], sizes["num_tokens"], sizes["num_qo_heads"]
    query = _QUERY_FACTOR.get(family, 1.0)
    drawn = {
        "q_nope": _normal((tokens, heads, sizes["head_dim_ckv"]), generator, query),
        "q_pe": _normal((tokens, heads, sizes["head_dim_kpe"]), generator, query),
        "ckv_cache": _cache((pages, sizes["page_size"], sizes["head_dim_ckv"]), generator),
        "kpe_cache": _cache((pages, sizes["page_size"], sizes["head_dim_kpe"]), generator),
        "sparse_indices": _indices(sizes, structure, _host_generator(generator), family),
    }
    if family == "offset_values":
        drawn["ckv_cache"].add_(4.0)
    inputs: dict[str, torch.Tensor | float | int] = {
        name: tensor.to(device) for name, tensor in drawn.items()
    }
    inputs["sm_scale"] = float((scalars or {}).get("sm_scale", SM_SCALE))
    return inputs


def rewrite(
    inputs: Mapping[str, Any],
    generator: torch.Generator,
    *,
    axes: Mapping[str, int],
    structure: Mapping[str, Any] | None,
) -> None:
    """Refreshes typical inputs in place: all small ones, and some rows of the cache.

    Half of the rewritten rows are ones that the new indices select, so that what an earlier call
    read at them is wrong now.

    Args:
        inputs: what `generate` returned; tensors keep their addresses.
        generator: all randomness comes from it.
        axes: as for `generate`.
        structure: as for `generate`.
    """
    sizes = DIMENSIONS | dict(axes)
    for name in ("q_nope", "q_pe"):
        inputs[name].copy_(_normal(tuple(inputs[name].shape), generator, 1.0))
    host = _host_generator(generator)
    indices = _indices(sizes, structure, host, "typical")
    inputs["sparse_indices"].copy_(indices)
    total = sizes["num_pages"] * sizes["page_size"]
    selected = indices[indices >= 0].long()
    keep = torch.randperm(selected.numel(), generator=host)[: REWRITTEN_ROWS // 2]
    count = min(REWRITTEN_ROWS // 2, total)
    others = torch.randint(max(total, 1), (count,), generator=host)
    rows = torch.unique(torch.cat([selected[keep], others]))
    for name in REWRITE_PARTLY:
        cache = inputs[name].view(total, inputs[name].shape[-1])
        fresh = _normal((rows.numel(), cache.shape[1]), generator, 1.0)
        cache.index_copy_(0, rows.to(cache.device), fresh.to(cache.device))


def held_out(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Draws workloads near, between and beyond the public ones, which no agent is shown.

    Args:
        rng: all randomness comes from it.
        count: how many.

    Returns:
        Dicts of axes, structure and kind.
    """
    topk, pages = DIMENSIONS["topk"], 8462
    kinds = ("near", "between", "many_long", "exactly_topk", "empty_rows", "prime", "few_pages")
    rng_kinds = rng.sample(kinds, len(kinds))
    cases: list[dict[str, Any]] = []
    for number in range(count):
        kind = rng_kinds[number % len(kinds)]
        few = rng.randint(1, 9)
        counts = [_any_count(rng, topk) for _ in range(few)]
        if kind == "near":
            counts = [rng.choice((1, 2, 127, 128, 129, 2046, 2047, 2048)) for _ in range(few)]
        elif kind == "many_long":
            counts = [rng.randint(topk - 64, topk) for _ in range(rng.randint(9, 20))]
        elif kind == "exactly_topk":
            counts = [topk] * rng.choice((1, 2, 5))
        elif kind == "empty_rows":
            counts = [0, *counts, 0]
            rng.shuffle(counts)
        elif kind == "prime":
            counts = [_any_count(rng, topk) for _ in range(rng.choice((3, 5, 11, 13)))]
        cases.append(
            {
                "axes": {
                    "num_tokens": len(counts),
                    "num_pages": rng.randint(96, 160) if kind == "few_pages" else pages,
                },
                "structure": {"valid_indices_per_token": counts},
                "kind": kind,
            }
        )
    return cases


def _any_count(rng: random.Random, topk: int) -> int:
    """Log-uniform, as decode batches are: mostly short rows, now and then a full one."""
    return min(topk, int(math.exp(rng.uniform(0.0, math.log(3.0 * topk)))))


def _host_generator(generator: torch.Generator) -> torch.Generator:
    """A CPU generator that follows from the given one, for structure that is built in Python."""
    seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(seed))


def _normal(shape: tuple[int, ...], generator: torch.Generator, factor: float) -> torch.Tensor:
    values = torch.empty(shape, dtype=torch.bfloat16, device=generator.device)
    return values.normal_(0.0, factor, generator=generator)


def _cache(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Normal values; on a CPU, one block of pages repeated with a signed factor per page."""
    pages = shape[0]
    if generator.device.type != "cpu" or pages <= DISTINCT_PAGES:
        return _normal(shape, generator, 1.0)
    block = _normal((DISTINCT_PAGES, *shape[1:]), generator, 1.0)
    factors = (0.5 + torch.rand(pages, 1, 1, generator=generator)).bfloat16()
    factors *= 1 - 2 * torch.randint(2, (pages, 1, 1), generator=generator)
    values = torch.empty(shape, dtype=torch.bfloat16)
    for start in range(0, pages, DISTINCT_PAGES):
        part = values[start : start + DISTINCT_PAGES]
        torch.mul(block[: part.shape[0]], factors[start : start + DISTINCT_PAGES], out=part)
    return values


def _indices(
    sizes: Mapping[str, int],
    structure: Mapping[str, Any] | None,
    host: torch.Generator,
    family: str,
) -> torch.Tensor:
    """Selected rows [num_tokens, topk] int32 on the CPU, -1 where unused."""
    tokens, topk = sizes["num_tokens"], sizes["topk"]
    capacity = sizes["num_pages"] * sizes["page_size"]
    counts = (structure or {}).get("valid_indices_per_token")
    if counts is None:
        uniform = torch.rand(tokens, generator=host, dtype=torch.float64)
        counts = (min(topk, capacity) ** uniform).round().long().tolist()
    if len(counts) != tokens or max(counts, default=0) > min(topk, capacity):
        raise ValueError(f"{tokens} counts of at most {min(topk, capacity)} are due, not {counts}")
    indices = torch.full((tokens, topk), -1, dtype=torch.int32)
    for token, count in enumerate(counts):
        indices[token, :count] = _row(count, sizes, host)
    if family == "empty_row" and tokens:
        indices[int(torch.randint(tokens, (1,), generator=host))] = -1
    elif family == "scattered_padding":
        for row in indices:
            row.copy_(row[torch.randperm(topk, generator=host)])
    elif family == "duplicated_rows":
        for row, count in zip(indices, counts, strict=True):
            if count:
                row[:count] = row[torch.randint((count + 1) // 2, (count,), generator=host)]
    return indices


def _row(count: int, sizes: Mapping[str, int], host: torch.Generator) -> torch.Tensor:
    """What an indexer emits for one sequence: all its rows in order, or the best in any order."""
    page_size, topk, pages = sizes["page_size"], sizes["topk"], sizes["num_pages"]
    length = count
    if count == topk:
        longest = min(_LONGEST_FACTOR * topk, pages * page_size)
        length = int(torch.randint(count, longest + 1, (1,), generator=host))
    table = torch.randperm(pages, generator=host)[: -(-length // page_size)]
    positions = torch.arange(length)
    if length > count:
        positions = torch.randperm(length, generator=host)[:count]
    return (table[positions // page_size] * page_size + positions % page_size).int()
