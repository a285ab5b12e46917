"""Where mismatches lie, in words: "batch_size 3, num_heads 4-7" says more than a count.

Pure. It looks at the shadow of the mismatches on each axis, so it finds patterns that are a product
of index sets (a row, a tile, a tail), and calls every other pattern scattered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

DENSE = 0.6
"""Share of the product of the hit indices that must mismatch to be called a block."""


def describe(mask: torch.Tensor, axis_names: Sequence[str] = ()) -> str:
    """Describes where `mask` is true.

    Args:
        mask: bool, any shape; the mismatches of one output.
        axis_names: a name for each axis; numbered where missing.

    Returns:
        A short phrase, e.g. "all of batch_size 3, last 16 of head_dim (112-127)"; empty when
        nothing mismatches.
    """
    count = int(mask.sum())
    if count == 0:
        return ""
    if mask.dim() == 0 or count == mask.numel():
        return "every element"
    names = [axis_names[d] if d < len(axis_names) else f"axis {d}" for d in range(mask.dim())]
    hits = [_hit(mask, d) for d in range(mask.dim())]
    parts = [
        f"{_ranges(hit, size)} of {name}" if _is_tail(hit, size) else f"{name} {_ranges(hit, size)}"
        for name, hit, size in zip(names, hits, mask.shape, strict=True)
        if len(hit) < size
    ]
    product = math.prod(len(hit) for hit in hits)
    density = count / product
    if count == 1:
        return "one element"
    if not parts:
        return f"scattered over the whole output ({100 * count / mask.numel():.2g} % of it)"
    lead = "all of " if density >= DENSE else f"scattered ({100 * density:.2g} %) within "
    return lead + ", ".join(parts)


def _hit(mask: torch.Tensor, axis: int) -> list[int]:
    """Indices of `axis` at which anything mismatches."""
    others = [d for d in range(mask.dim()) if d != axis]
    shadow = mask.amax(dim=others) if others else mask
    return shadow.nonzero().flatten().tolist()


def _is_tail(hit: Sequence[int], size: int) -> bool:
    return 1 < len(hit) and hit[-1] == size - 1 and hit[-1] - hit[0] + 1 == len(hit)


def _ranges(hit: Sequence[int], size: int) -> str:
    first, last = hit[0], hit[-1]
    if len(hit) == 1:
        return f"{first}" if first != size - 1 else f"{first} (the last)"
    if last - first + 1 == len(hit):
        return f"last {len(hit)} ({first}-{last})" if last == size - 1 else f"{first}-{last}"
    steps = {b - a for a, b in zip(hit, hit[1:], strict=False)}
    if len(steps) == 1 and len(hit) > 2:
        return f"{first}, {hit[1]}, … {last} (every {steps.pop()}th)"
    runs = _runs(hit)
    if len(runs) <= 4:
        return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)
    return f"{len(hit)} of {size} indices between {first} and {last}"


def _runs(hit: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for index in hit:
        if runs and index == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs
