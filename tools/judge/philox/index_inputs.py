"""Integer inputs that point into other tensors, drawn as they can occur: offsets, pages, lengths.

A definition's constraint on the end of an input shows offsets; else the reference's code tells what
an input indexes, or names do, as the definitions of FlashInfer-Trace have them. An input of which
nothing is known is drawn as any integer.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

import torch

from ...schema.flashinfer_trace import Definition
from .generator import RandomValues
from .index_uses import indexed_axes

OFFSETS = re.compile(r"(^|_)(indptr|cu_seqlens?|cu_seq_lens)(_|$)")
PAGES = re.compile(r"(^|_)(indices|block_tables?|page_tables?|page_ids|block_ids)(_|$)")
TOKENS = re.compile(r"(^|_)(sparse|topk|token|slot)(_|$)")
"""Of indices that count the tokens of all pages, and not the pages."""
LAST_PAGE = re.compile(r"(^|_)last_page_len(_|$)")
LENGTHS = re.compile(r"(^|_)(seq_lens|seqlens|context_lens|kv_lens|kv_len)(_|$)")
EXPERTS = re.compile(r"(^|_)(expert_ids|topk_ids|expert_indices)(_|$)")
POOLS = re.compile(r"(^|_)(cache|state|states|pool)(_|$)")
"""Of inputs that hold a place for each sequence, or for each page."""
POSITIONS = re.compile(r"(^|_)(positions?|pos_ids|position_ids)(_|$)")
MOST_POSITIONS = ("max_seq_len", "max_position", "max_positions", "page_size", "block_size")
CLASSES = re.compile(r"(^|_)(input_ids|token_ids|labels?|targets?)(_|$)")
CLASS_COUNTS = ("vocab_size", "num_classes")
PACKED = r"\b{}\s*>>\s*16\b"
"""In a reference that takes an expert and the bits of its weight in bfloat16 out of one integer."""
PAGE_COUNTS = ("num_pages", "num_blocks", "total_num_pages", "num_cache_pages")


def index_values(
    definition: Definition, name: str, axes: Mapping[str, int], values: RandomValues
) -> torch.Tensor | None:
    """Values of an input that points into others, in int64; None where that is not known of it."""
    spec = definition.inputs[name]
    if not spec.shape or "int" not in spec.dtype:
        return None
    shape = tuple(axes[axis] for axis in spec.shape)
    if len(shape) == 1 and (end := _end(definition, name, axes)) is not None:
        return _offsets(spec.shape[0], shape[0], end, values)
    bounds = _bounds(definition, name, axes)
    if bounds is None or bounds[0] >= bounds[1]:
        return None
    found = values.integers(name, *bounds, shape)
    if EXPERTS.search(name) and re.search(PACKED.format(re.escape(name)), definition.reference):
        weights = values.uniform(f"weights of {name}", shape).bfloat16().view(torch.int16)
        found = found * 2**16 + weights.to(found.dtype)
    return found


def _bounds(definition: Definition, name: str, axes: Mapping[str, int]) -> tuple[int, int] | None:
    """The least value of an input and one above the greatest."""
    page = axes.get("page_size", axes.get("block_size", 1))
    pages = next((axes[count] for count in PAGE_COUNTS if count in axes), 0)
    pages = pages or _places(definition, name, axes)
    if EXPERTS.search(name) and "num_experts" in axes:
        return 0, axes["num_experts"]
    if LAST_PAGE.search(name):
        return 1, page + 1
    if LENGTHS.search(name):
        most = axes.get("max_num_pages", axes.get("max_num_blocks", 0)) * page
        return (1, (most or axes.get("max_seq_len", 0)) + 1)
    if most := _indexed(definition, name, axes):
        return 0, most
    if PAGES.search(name) and pages:
        return 0, pages * (page if TOKENS.search(name) else 1)
    for names, counts in ((POSITIONS, MOST_POSITIONS), (CLASSES, CLASS_COUNTS)):
        if names.search(name) and (count := next((c for c in counts if c in axes), None)):
            return 0, axes[count]
    return None


def _indexed(definition: Definition, name: str, axes: Mapping[str, int]) -> int:
    """The least of the axes that the reference indexes by an input; 0 where it is not known to."""
    uses = indexed_axes(definition.reference, tuple(definition.inputs)).get(name, frozenset())
    sizes: list[int] = []
    for other, position in uses:
        shape = definition.inputs[other].shape or ()
        if position < len(shape):
            # Offsets are one more than what they part.
            sizes.append(axes[shape[position]] - bool(OFFSETS.search(other)))
    return min(sizes, default=0)


def _places(definition: Definition, name: str, axes: Mapping[str, int]) -> int:
    """How many places the cache or state has that indices are of; 0 where there is none."""
    own = definition.inputs[name].shape or ()
    firsts = (
        spec.shape[0]
        for other, spec in definition.inputs.items()
        if spec.shape and POOLS.search(other) and spec.shape[0] not in own
    )
    return next((axes[axis] for axis in firsts), 0)


def _end(definition: Definition, name: str, axes: Mapping[str, int]) -> int | None:
    """The last of offsets: the axis that a constraint says it is, or that their names share."""
    for text in definition.constraints:
        axis = _axis_of_end(ast.parse(text.strip(), mode="eval").body, name)
        if axis is not None and axis in axes:
            return axes[axis]
    if not OFFSETS.search(name):
        return None
    own = definition.inputs[name].shape or ()
    kind = name.split("_")[0]
    totals = [axis for axis in definition.var_axes if axis not in own]
    named = [axis for axis in totals if kind in axis.split("_")]
    general = [axis for axis in totals if axis.startswith(("total", "nnz", "num_tokens"))]
    return next((axes[axis] for axis in (*named, *general)), None)


def _axis_of_end(node: ast.expr, name: str) -> str | None:
    """The axis of a constraint `axis == name[-1].item()`, whichever side it is on."""
    if not isinstance(node, ast.Compare) or [type(op) for op in node.ops] != [ast.Eq]:
        return None
    sides = [node.left, node.comparators[0]]
    ends = {f"{name}[-1].item()", f"{name}[-1]", f"int({name}[-1])", f"int({name}[-1].item())"}
    for side, other in (sides, sides[::-1]):
        if ast.unparse(side) in ends and isinstance(other, ast.Name):
            return other.id
    return None


def _offsets(axis: str, count: int, end: int, values: RandomValues) -> torch.Tensor:
    """Offsets from 0 to the end, of parts that are not empty where there are enough elements.

    Offsets along the same axis have parts of like shares, so that a sequence with many queries has
    many keys.
    """
    if count < 2:
        return torch.zeros(count, dtype=torch.int64, device=values.device)
    cuts = values.uniform(f"parts along {axis}", (count - 2,)).double().sort().values
    each = 1 if end >= count - 1 else 0
    spread = (cuts * (end - each * (count - 1))).long()
    inner = spread + each * torch.arange(1, count - 1, device=values.device)
    ends = torch.tensor([0, end], device=values.device)
    return torch.cat([ends[:1], inner, ends[1:]])
