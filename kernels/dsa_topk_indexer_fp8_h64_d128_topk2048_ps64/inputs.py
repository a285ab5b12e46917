"""Inputs of the top-k indexer: fp8 queries, a paged fp8 key cache, block tables and lengths.

For the judge only. Pages are really packed: normal keys in bfloat16, quantised per token to e4m3
with a float32 scale, values first and scales after them. Random bytes would hold NaN. Entries of
the block table beyond a sequence's last page are stale, as they are in a serving engine.

On a GPU every page is drawn; on a CPU a block of pages is drawn and repeated with a factor per
page on the scales, because quantising 100 MB takes seconds there.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch

FAMILIES = (
    "typical",
    "wild_table",
    "negative_weights",
    "tied_scores",
    "zero_scores",
    "narrow_scores",
    "rising_scores",
)
"""How inputs are drawn; the first is what workloads are timed on."""

REWRITE_PARTLY = ("k_index_cache_fp8",)
"""Inputs too large to redraw for each call; `rewrite` changes some of their pages."""

DIMENSIONS = {"num_index_heads": 64, "index_head_dim": 128, "page_size": 64}
TOPK = 2048
DISTINCT_PAGES = 512
TIED_PAGES = 8
REWRITTEN_PAGES = 64
_E4M3_MAX = 448.0
_SMALLEST_AMAX = 1e-4
_SCALE_BYTES = 4
_WITHOUT_SIGN = 0x7F


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
        axes: batch_size, max_num_pages, num_pages; constants of the definition may be overridden.
        structure: `seq_lens`, one length per sequence; drawn when absent.
        scalars: the operator has none.
        generator: all randomness comes from it.
        device: where the tensors are to be.
        family: one of `FAMILIES`.

    Returns:
        The inputs by name: q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table.

    Raises:
        ValueError: for an unknown family, or lengths that the table or cache cannot hold.
    """
    if family not in FAMILIES:
        raise ValueError(f"Unknown family {family!r}; known: {', '.join(FAMILIES)}")
    sizes = DIMENSIONS | dict(axes)
    host = _host_generator(generator)
    seq_lens = _seq_lens(sizes, structure, host)
    table = _block_table(sizes, seq_lens, host, wild=family == "wild_table")
    queries = _queries(sizes, generator)
    weights = _weights(sizes, generator)
    cache = _cache(sizes, generator, distinct=TIED_PAGES if family == "tied_scores" else None)
    if family == "negative_weights":
        weights.abs_().neg_()
    elif family == "zero_scores":
        queries = queries.float().abs().neg_().to(torch.float8_e4m3fn)
        cache[:, : sizes["page_size"] * sizes["index_head_dim"]] &= _WITHOUT_SIGN
    elif family == "narrow_scores":
        _values(cache, sizes).copy_(_values(cache, sizes)[:1, :1].clone())
        _scales(cache, sizes).uniform_(0.0100, 0.0101, generator=generator)
    elif family == "rising_scores":
        weights.abs_()
        _raise_scales(cache, sizes, seq_lens, table)
    shape = (sizes["num_pages"], sizes["page_size"], 1, sizes["index_head_dim"] + _SCALE_BYTES)
    return {
        "q_index_fp8": queries.to(device),
        "k_index_cache_fp8": cache.view(torch.int8).view(shape).to(device),
        "weights": weights.to(device),
        "seq_lens": torch.tensor(seq_lens, dtype=torch.int32).to(device),
        "block_table": table.to(device),
    }


def rewrite(
    inputs: Mapping[str, Any],
    generator: torch.Generator,
    *,
    axes: Mapping[str, int],
    structure: Mapping[str, Any] | None,
) -> None:
    """Refreshes typical inputs in place: all small ones, and some pages of the cache.

    Lengths stay, for they decide how much work there is. Half of the rewritten pages are ones that
    the new block table uses.

    Args:
        inputs: what `generate` returned; tensors keep their addresses.
        generator: all randomness comes from it.
        axes: as for `generate`.
        structure: as for `generate`; without it the present lengths are kept.
    """
    sizes = DIMENSIONS | dict(axes)
    seq_lens = inputs["seq_lens"].tolist()
    host = _host_generator(generator)
    table = _block_table(sizes, seq_lens, host, wild=False)
    inputs["block_table"].copy_(table)
    inputs["q_index_fp8"].copy_(_queries(sizes, generator))
    inputs["weights"].copy_(_weights(sizes, generator))
    rows = zip(table, seq_lens, strict=True)
    used = torch.cat([row[: -(-n // sizes["page_size"])] for row, n in rows])
    keep = torch.randperm(used.numel(), generator=host)[: REWRITTEN_PAGES // 2]
    others = torch.randint(sizes["num_pages"], (REWRITTEN_PAGES // 2,), generator=host)
    pages = torch.unique(torch.cat([used[keep].long(), others]))
    cache = inputs["k_index_cache_fp8"].view(sizes["num_pages"], -1)
    fresh = _packed(pages.numel(), sizes, generator).view(torch.int8)
    cache.index_copy_(0, pages.to(cache.device), fresh.to(cache.device))


def held_out(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Draws workloads near, between and beyond the public ones, which no agent is shown.

    Public workloads have at most one sequence longer than topk; here there are several too.

    Args:
        rng: all randomness comes from it.
        count: how many.

    Returns:
        Dicts of axes, structure and kind.
    """
    kinds = ("near", "between", "two_long", "many_long", "empty", "exactly_topk", "prime", "pages")
    order = rng.sample(kinds, len(kinds))
    cases: list[dict[str, Any]] = []
    for number in range(count):
        kind = order[number % len(kinds)]
        lengths = [rng.randint(1, 1500) for _ in range(rng.randint(1, 31))]
        pages = 11923
        if kind == "near":
            lengths[0] = rng.choice((TOPK - 1, TOPK + 1, TOPK + 63, TOPK + 64, TOPK + 65))
        elif kind == "between":
            lengths[-1] = rng.randint(2900, 5200)
        elif kind == "two_long":
            lengths = [rng.randint(TOPK + 1, 6000), *lengths, rng.randint(TOPK + 1, 6000)]
        elif kind == "many_long":
            lengths = [rng.randint(TOPK + 1, 4000) for _ in range(rng.randint(5, 12))]
        elif kind == "empty":
            lengths = [0, *lengths, 0, rng.randint(TOPK + 1, 3000)]
        elif kind == "exactly_topk":
            lengths = [TOPK] * rng.randint(1, 4) + [TOPK + 1]
        elif kind == "prime":
            lengths = [rng.choice((3571, 61, 127, 1999)) for _ in range(rng.choice((2, 6, 12)))]
            lengths.append(2099)
        else:
            lengths[0], pages = rng.randint(TOPK + 1, 3000), rng.choice((1021, 4099, 11922))
        rng.shuffle(lengths)
        widest = -(-max(max(lengths), 1) // DIMENSIONS["page_size"])
        cases.append(
            {
                "axes": {
                    "batch_size": len(lengths),
                    "max_num_pages": widest + rng.choice((0, 0, 1, 7)),
                    "num_pages": pages,
                },
                "structure": {"seq_lens": lengths},
                "kind": kind,
            }
        )
    return cases


def _host_generator(generator: torch.Generator) -> torch.Generator:
    """A CPU generator that follows from the given one, for structure that is built in Python."""
    seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(seed))


def _queries(sizes: Mapping[str, int], generator: torch.Generator) -> torch.Tensor:
    shape = (sizes["batch_size"], sizes["num_index_heads"], sizes["index_head_dim"])
    values = torch.randn(shape, generator=generator, device=generator.device)
    return values.to(torch.float8_e4m3fn)


def _weights(sizes: Mapping[str, int], generator: torch.Generator) -> torch.Tensor:
    shape = (sizes["batch_size"], sizes["num_index_heads"])
    return torch.randn(shape, generator=generator, device=generator.device)


def _packed(pages: int, sizes: Mapping[str, int], generator: torch.Generator) -> torch.Tensor:
    """Fresh pages [pages, bytes] uint8: normal keys, quantised per token."""
    page_size, head_dim = sizes["page_size"], sizes["index_head_dim"]
    place = generator.device
    keys = torch.randn(pages, page_size, head_dim, generator=generator, device=place)
    keys = keys.bfloat16().float()
    scales = keys.abs().amax(dim=-1).clamp_min(_SMALLEST_AMAX) / _E4M3_MAX
    packed = torch.empty(
        pages, page_size * (head_dim + _SCALE_BYTES), dtype=torch.uint8, device=place
    )
    _values(packed, sizes).copy_((keys / scales[..., None]).to(torch.float8_e4m3fn))
    _scales(packed, sizes).copy_(scales)
    return packed


def _values(packed: torch.Tensor, sizes: Mapping[str, int]) -> torch.Tensor:
    """View of the fp8 values of raw pages: [pages, page size, head dim]."""
    split = sizes["page_size"] * sizes["index_head_dim"]
    values = packed[:, :split].view(torch.float8_e4m3fn)
    return values.unflatten(1, (sizes["page_size"], sizes["index_head_dim"]))


def _scales(packed: torch.Tensor, sizes: Mapping[str, int]) -> torch.Tensor:
    """View of the float32 scales of raw pages: [pages, page size]."""
    return packed[:, sizes["page_size"] * sizes["index_head_dim"] :].view(torch.float32)


def _cache(
    sizes: Mapping[str, int], generator: torch.Generator, *, distinct: int | None
) -> torch.Tensor:
    """Raw pages [num_pages, bytes] uint8; `distinct` pages repeated exactly, if given."""
    pages = sizes["num_pages"]
    drawn = distinct or (DISTINCT_PAGES if generator.device.type == "cpu" else pages)
    if drawn >= pages:
        return _packed(pages, sizes, generator)
    block = _packed(drawn, sizes, generator)
    packed = torch.empty(pages, block.shape[1], dtype=torch.uint8, device=block.device)
    for start in range(0, pages, drawn):
        part = packed[start : start + drawn]
        part.copy_(block[: part.shape[0]])
    if distinct is None:
        factors = torch.rand(pages, 1, generator=generator, device=block.device)
        _scales(packed, sizes).mul_(0.5 + factors)
    return packed


def _raise_scales(
    packed: torch.Tensor, sizes: Mapping[str, int], seq_lens: list[int], table: torch.Tensor
) -> None:
    """Lets scores grow along each sequence, so that its best tokens are its last ones."""
    page_size = sizes["page_size"]
    scales = _scales(packed, sizes)
    for row, length in zip(table, seq_lens, strict=True):
        pages = row[: -(-length // page_size)].long().to(packed.device)
        steps = torch.arange(pages.numel() * page_size, device=packed.device)
        scales[pages] *= (0.1 + steps / max(length, 1)).view(-1, page_size)


def _seq_lens(
    sizes: Mapping[str, int], structure: Mapping[str, Any] | None, host: torch.Generator
) -> list[int]:
    batch, page_size = sizes["batch_size"], sizes["page_size"]
    longest = min(sizes["max_num_pages"], sizes["num_pages"]) * page_size
    lengths = (structure or {}).get("seq_lens")
    if lengths is None:
        lengths = torch.randint(1, longest + 1, (batch,), generator=host).tolist()
    if len(lengths) != batch or max(lengths, default=0) > longest:
        raise ValueError(f"{batch} lengths of at most {longest} are due, not {lengths}")
    return list(lengths)


def _block_table(
    sizes: Mapping[str, int], seq_lens: list[int], host: torch.Generator, *, wild: bool
) -> torch.Tensor:
    """Distinct pages per sequence, and across sequences while there are enough; the rest stale.

    Stale entries name pages of the cache; wild ones may name anything, so a kernel that follows
    them reads out of bounds.
    """
    pages, width = sizes["num_pages"], sizes["max_num_pages"]
    table = torch.randint(pages, (sizes["batch_size"], width), generator=host, dtype=torch.int32)
    if wild:
        table = torch.randint(
            -(2**31), 2**31 - 1, table.shape, generator=host, dtype=torch.int64
        ).to(torch.int32)
    pool = torch.randperm(pages, generator=host).int()
    taken = 0
    for row, length in zip(table, seq_lens, strict=True):
        needed = -(-length // sizes["page_size"])
        if taken + needed > pages:
            pool, taken = torch.randperm(pages, generator=host).int(), 0
        row[:needed] = pool[taken : taken + needed]
        taken += needed
    return table
