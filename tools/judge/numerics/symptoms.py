"""The usual cause of a wrong output, recognised in its values or in where they are wrong.

Pure. Each hypothesis says what every mismatched element would be if it held (the expected value
times a constant, the expected value of another element), or which elements would be wrong. It is
told when it explains nearly all of the mismatch and chance would not; of two, the one that explains
it more exactly. Only a sample of the mismatched elements is looked at, so that large outputs cost
no more than small ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch

from .element_sample import ElementSample, coordinates, wrong_along


class SymptomKind(StrEnum):
    """What a pattern of mismatches points to."""

    FACTOR = "factor"
    SUMMAND = "summand"
    EXPONENT_BASE = "exponent_base"
    SIGN = "sign"
    CONSTANT = "constant"
    PERMUTED_AXES = "permuted_axes"
    HALVES_SWAPPED = "halves_swapped"
    OFFSET = "offset"
    NEIGHBOUR = "neighbour"
    WRONG_GROUP = "wrong_group"
    STALE_ACCUMULATOR = "stale_accumulator"
    MISSING_MASK = "missing_mask"


@dataclass(frozen=True)
class Symptom:
    """One explanation of a mismatch.

    Args:
        words: a clause without a full stop that holds the figure.
        figure: the factor, the offset, the group or the tile.
    """

    kind: SymptomKind
    words: str
    remedy: str
    figure: float


def recognise(
    got: torch.Tensor,
    expected: torch.Tensor,
    bad: torch.Tensor,
    axis_names: Sequence[str] = (),
    constants: Mapping[str, float] | None = None,
) -> Symptom | None:
    """The one explanation that accounts for nearly all of a mismatch, or None.

    Args:
        bad: bool, true where the two do not agree.
        axis_names: a name for each axis; numbered where missing.
        constants: sizes of axes and values of scalars by name, which may explain a factor.
    """
    if got.dim() == 0 or not bool(bad.any()):
        return None
    axes = [axis_names[d] if d < len(axis_names) else f"axis {d}" for d in range(got.dim())]
    known = {**(constants or {}), **dict(zip(axes, got.shape, strict=True))}
    for sample in ElementSample.of(got, expected, bad).from_fine_to_coarse():
        for hypothesis in (_constant, _sign, _factor, _added):
            if (symptom := hypothesis(sample, known)) is not None:
                return symptom
        for elsewhere in (_permuted, _shifted, _grouped, _accumulated):
            if (symptom := elsewhere(sample, axes)) is not None:
                return symptom
    return _by_place(bad, axes, known)


def _constant(sample: ElementSample, known: Mapping[str, float]) -> Symptom | None:
    value = float(sample.got[0]) + 0.0  # minus zero is told as zero
    same = bool((sample.got == value).all()) and sample.got.numel() >= 8
    if not same or sample.of_bools or not math.isfinite(value):
        return None
    return Symptom(
        SymptomKind.CONSTANT,
        f"every mismatched element is {value:g}",
        "Look for a store that is skipped or masked off, an accumulator that is never added to, "
        "or a pointer that does not advance.",
        value,
    )


def _sign(sample: ElementSample, known: Mapping[str, float]) -> Symptom | None:
    if not sample.explained_by(-sample.due):
        return None
    return Symptom(
        SymptomKind.SIGN,
        "every mismatched element has the opposite sign of what is due",
        "Look for a subtraction with its operands exchanged, or a missing or doubled minus.",
        -1.0,
    )


def _factor(sample: ElementSample, known: Mapping[str, float]) -> Symptom | None:
    ratio = sample.typical_ratio()
    if ratio is None or not sample.explained_by(ratio * sample.due):
        return None
    near = 0.005 + sample.tolerance / 10
    name, value, is_base = min(
        _named_factors(known), key=lambda named: abs(ratio / named[1] - 1), default=("", 1.0, False)
    )
    explained = abs(ratio / value - 1) <= near
    if explained and is_base:
        return Symptom(
            SymptomKind.EXPONENT_BASE,
            f"every mismatched element is {ratio:.4g} times what is due, which is {name}",
            "Take the logarithm and the exponential in the base that the definition states: "
            "log2(x) = ln(x) · log2(e).",
            ratio,
        )
    return Symptom(
        SymptomKind.FACTOR,
        f"every mismatched element is {ratio:.4g} times what is due"
        + (f", which is {name}" if explained else ""),
        "Look for a scale that is forgotten, applied twice or inverted.",
        ratio,
    )


def _added(sample: ElementSample, known: Mapping[str, float]) -> Symptom | None:
    summand = sample.typical_difference()
    if summand is None or not sample.explained_by(sample.due + summand):
        return None
    return Symptom(
        SymptomKind.SUMMAND,
        f"every mismatched element is what is due {'+' if summand > 0 else '-'} {abs(summand):.4g}",
        "Look for a bias, a maximum or an epsilon that is added or left out.",
        summand,
    )


def _named_factors(known: Mapping[str, float]) -> Iterator[tuple[str, float, bool]]:
    """Factors that have a name: the words, the value, whether it is a change of base."""
    yield "ln 2: natural logarithms where base 2 is due", math.log(2), True
    yield "log2 e: base 2 where natural logarithms are due", math.log2(math.e), True
    for value in dict.fromkeys(float(value) for value in known.values()):
        if not math.isfinite(value) or value <= 0 or value == 1:
            continue
        whose = " or ".join(sorted(name for name, other in known.items() if other == value))
        yield f"{value:g} ({whose})", value, False
        yield f"1/{value:g} ({whose})", 1 / value, False
        if value.is_integer():
            yield f"√{value:g} ({whose})", math.sqrt(value), False
            yield f"1/√{value:g} ({whose})", 1 / math.sqrt(value), False
    for value in (2, 3, 4):
        yield f"{value}", float(value), False
        yield f"1/{value}", 1 / value, False


def _permuted(sample: ElementSample, axes: Sequence[str]) -> Symptom | None:
    wide = [d for d, size in enumerate(sample.shape) if size > 1]
    shape = [sample.shape[d] for d in wide]
    for order in _orders(len(wide)):
        written = [shape[d] for d in order]
        place = coordinates(sample.flat, written)
        source = sample.ravel([place[order.index(d)] for d in range(len(wide))], shape)
        if sample.explained_by_elements(source):
            names = ", ".join(axes[wide[d]] for d in order)
            due = ", ".join(axes[d] for d in wide)
            return Symptom(
                SymptomKind.PERMUTED_AXES,
                f"the values are right but lie in the order ({names}) instead of ({due})",
                "Look at the strides with which the output is stored, or an operand is loaded: "
                "two axes are exchanged.",
                float(len(order)),
            )
    return None


def _orders(rank: int) -> Iterator[tuple[int, ...]]:
    """Orders of axes other than the identity; exchanges of two only, where there are many axes."""
    identity = tuple(range(rank))
    if rank <= 4:
        yield from (order for order in itertools.permutations(identity) if order != identity)
        return
    for one, other in itertools.combinations(range(rank), 2):
        order = list(identity)
        order[one], order[other] = other, one
        yield tuple(order)


def _shifted(sample: ElementSample, axes: Sequence[str]) -> Symptom | None:
    for axis in reversed(range(len(sample.shape))):
        symptom = _shifted_along(sample, axis, axes[axis])
        if symptom is not None:
            return symptom
    for axis in reversed(range(len(sample.shape))):
        symptom = _stuck_along(sample, axis, axes[axis])
        if symptom is not None:
            return symptom
    if len(sample.shape) > 1:
        return _shifted_along(sample.flattened(), 0, "memory")
    return None


def _shifted_along(sample: ElementSample, axis: int, name: str) -> Symptom | None:
    size = sample.shape[axis]
    shift = sample.likely_shift(axis)
    if shift is None:
        return None
    place = sample.places()
    moved = place[axis] + shift
    inside = (moved >= 0) & (moved < size)
    wrapped = sample.ravel([*place[:axis], moved % size, *place[axis + 1 :]])
    if 2 * abs(shift) == size and sample.explained_by_elements(wrapped):
        return Symptom(
            SymptomKind.HALVES_SWAPPED,
            f"the two halves of {name} ({size // 2} each) are exchanged",
            "Look at which half is read first, as in a rotary embedding or a split of the tile.",
            float(size // 2),
        )
    if 2 * int(inside.sum()) < inside.numel() or not sample.explained_by_elements(wrapped, inside):
        return None
    unit = "elements further on in memory" if name == "memory" else f"further on along {name}"
    if abs(shift) == 1 and axis < len(sample.shape) - 1:
        return Symptom(
            SymptomKind.NEIGHBOUR,
            f"every mismatched element holds the value that is due {shift:+d} along {name}: that "
            f"of the neighbouring {name}",
            f"Look at the index of {name} and at the offsets it reads from: it is off by one.",
            float(shift),
        )
    return Symptom(
        SymptomKind.OFFSET,
        f"every mismatched element holds the value that is due {shift:+d} {unit}",
        "Look at the offset of the loads or the stores, and at the start of each tile.",
        float(shift),
    )


def _stuck_along(sample: ElementSample, axis: int, name: str) -> Symptom | None:
    """The symptom that every place along an axis holds the values of its first or last."""
    place = sample.places()
    for index in dict.fromkeys((0, sample.shape[axis] - 1)):
        stuck = torch.full_like(place[axis], index)
        if sample.explained_by_elements(sample.ravel([*place[:axis], stuck, *place[axis + 1 :]])):
            return Symptom(
                SymptomKind.NEIGHBOUR,
                f"every mismatched element holds the value that is due at {name} {index}",
                f"Look at how the index of {name} enters the addresses: it has no effect.",
                float(index),
            )
    return None


def _grouped(sample: ElementSample, axes: Sequence[str]) -> Symptom | None:
    """The symptom of an index split by remainder instead of division, or the reverse."""
    place = sample.places()
    for axis, size in enumerate(sample.shape):
        for groups in _divisors(size):
            each = size // groups
            mapped = (place[axis] % groups) * each + place[axis] // groups
            source = sample.ravel([*place[:axis], mapped, *place[axis + 1 :]])
            if sample.explained_by_elements(source):
                return _wrong_group(axes[axis], groups, each)
    return None


def _wrong_group(name: str, groups: int, each: int) -> Symptom:
    return Symptom(
        SymptomKind.WRONG_GROUP,
        f"{name} is grouped as h % {groups} where h // {each} is due, or the reverse",
        f"Map {name} to its group as the reference does: repeat_interleave is h // {each}, "
        f"repeat is h % {groups}.",
        float(groups),
    )


def _divisors(size: int) -> list[int]:
    """Proper divisors other than one, at most sixteen."""
    return [d for d in range(2, min(size // 2, 512) + 1) if size % d == 0][:16]


def _accumulated(sample: ElementSample, axes: Sequence[str]) -> Symptom | None:
    """The symptom that a tile holds its own values and those of all tiles before it."""
    place = sample.places()
    for axis, size in enumerate(sample.shape):
        tile = sample.first_wrong[axis]
        if not 0 < tile < size or size // tile > 256:
            continue
        total = torch.zeros_like(sample.due)
        for back in range(-(-size // tile)):
            moved = place[axis] - back * tile
            source = sample.ravel([*place[:axis], moved.clamp_min(0), *place[axis + 1 :]])
            total += torch.where(moved >= 0, sample.value_at(source), 0.0)
        if sample.explained_by(total):
            return _stale(
                f"along {axes[axis]}, every {tile} elements also hold the sum of all before", tile
            )
    return None


def _stale(words: str, tile: int) -> Symptom:
    return Symptom(
        SymptomKind.STALE_ACCUMULATOR,
        words,
        "Reset the accumulator, the running maximum and sum at the start of every tile, and wait "
        "for every load of it.",
        float(tile),
    )


def _by_place(bad: torch.Tensor, axes: Sequence[str], known: Mapping[str, float]) -> Symptom | None:
    """The symptom of mismatches that all lie in a pattern along one axis."""
    count = int(bad.sum())
    wrong = [wrong_along(bad, axis) for axis in range(bad.dim())]
    partial = [axis for axis, found in enumerate(wrong) if not bool(found.all())]
    if len(partial) != 1 or count < 8:
        return None
    axis = partial[0]
    found = wrong[axis].nonzero().flatten().tolist()
    size = bad.shape[axis]
    # Nearly every element of a wrong slice is wrong: otherwise the slice is not what is wrong.
    if count < 0.6 * len(found) * (bad.numel() // size):
        return None
    patterns: tuple[Callable[[list[int], int, str, Mapping[str, float]], Symptom | None], ...] = (
        _group_pattern,
        _tile_pattern,
        _tail_pattern,
    )
    for pattern in patterns:
        if (symptom := pattern(found, size, axes[axis], known)) is not None:
            return symptom
    return None


def _group_pattern(
    found: list[int], size: int, name: str, known: Mapping[str, float]
) -> Symptom | None:
    for groups in _divisors(size):
        each = size // groups
        differing = [h for h in range(size) if h % groups != h // each]
        likely = size >= 8 or any(value == groups for other, value in known.items())
        if likely and found == differing:
            return _wrong_group(name, groups, each)
    return None


def _tile_pattern(
    found: list[int], size: int, name: str, known: Mapping[str, float]
) -> Symptom | None:
    steps = {after - before for before, after in itertools.pairwise(found)}
    if len(found) >= 3 and len(steps) == 1 and (step := steps.pop()) >= 4:
        if found[0] % step == 0 and found[-1] + step >= size:
            return _stale(f"only the first of every {step} along {name} is wrong", step)
    first = found[0]
    tail = found == list(range(first, size))
    if tail and 8 <= first <= size // 2 and first & (first - 1) == 0:
        return _stale(f"the first {first} along {name} are right, all tiles after it wrong", first)
    return None


def _tail_pattern(
    found: list[int], size: int, name: str, known: Mapping[str, float]
) -> Symptom | None:
    first, count = found[0], len(found)
    if size < 8 or 2 * count > size or found != list(range(first, size)):
        return None
    tile = next((t for t in (1 << p for p in range(3, 11)) if size % t == count), None)
    words = f"only the last {count} of {size} along {name} are wrong"
    if tile is not None:
        words += f": what is left of {size} in tiles of {tile}"
    return Symptom(
        SymptomKind.MISSING_MASK,
        words,
        f"Look at the mask of the last tile along {name}, and at whether the last tile is run.",
        float(count),
    )
