"""Draws sizes and scalars that no public workload has, from all that a definition allows.

A size is a value for every variable axis. Legal are values within the policy's `[axes]`, by default
from 1 to the largest public workload, that satisfy the definition's constraints. Some are drawn
uniformly, so that the chance of meeting a fault is known; the rest where kernels tend to be wrong:
at powers of two, at multiples of tiles, beside public sizes, and among small ones.

Pure: it knows nothing of tensors, and one state of the random generator gives one choice.
"""

from __future__ import annotations

import ast
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..schema.constraints import names_in, value_of
from ..schema.flashinfer_trace import Definition, DType
from ..text import python_expression
from .policy import Policy, ScalarRange

UNIFORM = "uniform"
SMALL = "small"
NEAR = "near"
TIMED = "timed"
OVERWEIGHTED = ("boundary", NEAR, "logarithmic", "boundary")
"""Kinds of draws besides the uniform ones, in turn, after one small size."""
TILES = (16, 32, 64, 128, 256)
COUNTED_SIZES = 512
"""Spaces of at most so many sizes are listed, and drawn from without replacement."""
TRIES = 60
"""Draws for one size before it is given up: constraints may leave few."""
FAULTY_SHARE = 0.05
INTEGERS = (DType.INT64, DType.INT32, DType.INT16, DType.INT8, DType.UINT8)

Scalar = bool | int | float


@dataclass(frozen=True)
class DrawnSize:
    """One size, and the kind of draw that gave it."""

    axes: dict[str, int]
    kind: str


class SizeSpace:
    """The legal sizes of a definition.

    Args:
        public: axes of every public workload.
    """

    def __init__(
        self, definition: Definition, policy: Policy, public: Sequence[Mapping[str, int]]
    ) -> None:
        self._definition = definition
        self._public = [dict(axes) for axes in public]
        relevant = {*definition.var_axes, *definition.inputs}
        self._constraints = [
            text
            for text in definition.constraints
            if text not in policy.waived_constraints and relevant.intersection(names_in(text))
        ]
        self._following = _following_axes(definition, self._constraints)
        self.free_axes = tuple(a for a in definition.var_axes if a not in self._following)
        self._ranges = {name: self._range(name, policy) for name in self.free_axes}
        self._largest = None
        if not policy.axes:
            self._largest = max((self._elements(axes) for axes in self._public), default=None)
        self._listed = self._all_sizes()

    @property
    def count(self) -> int | None:
        """How many legal sizes no public workload has; None where they are too many to list."""
        return None if self._listed is None else len(self._listed)

    def draw(
        self, rng: random.Random, uniform: int, others: int, timed: int = 0
    ) -> list[DrawnSize]:
        """Distinct sizes that no public workload has; fewer where there are not so many.

        Args:
            uniform: how many are drawn uniformly.
            others: how many are drawn by the other kinds; they come first, a small size before all.
            timed: how many are drawn beside public sizes, spread as those are, to be timed.
        """
        seen = {_key(axes) for axes in self._public}
        ranked = sorted(self._public, key=self._elements)
        bases = [ranked[(2 * i + 1) * len(ranked) // (2 * timed)] for i in range(timed) if ranked]
        kinds = [SMALL, *itertools.islice(itertools.cycle(OVERWEIGHTED), max(others - 1, 0))]
        drawn: list[DrawnSize] = []
        for kind in [*kinds[:others], *([TIMED] * len(bases)), *([UNIFORM] * uniform)]:
            if kind == UNIFORM:
                axes = self._uniform(rng, seen)
            else:
                base = bases.pop(0) if kind == TIMED else None
                axes = self._one(kind, rng, seen, base) or self._uniform(rng, seen)
            if axes is None:
                break
            seen.add(_key(axes))
            drawn.append(DrawnSize(axes, kind))
        return drawn

    def near(self, axes: Mapping[str, int], rng: random.Random) -> dict[str, int] | None:
        """A legal size within a tenth, or one, of a public one on each free axis."""
        free = {}
        for name in self.free_axes:
            low, high = self._ranges[name]
            reach = max(axes[name] // 10, 1)
            free[name] = min(max(axes[name] + rng.randint(-reach, reach), low), high)
        return self._completed(free)

    def _range(self, name: str, policy: Policy) -> tuple[int, int]:
        bounds = policy.axes.get(name)
        sizes = [axes[name] for axes in self._public] or [1]
        low = min(1, *sizes) if bounds is None or bounds.minimum is None else bounds.minimum
        high = max(sizes) if bounds is None or bounds.maximum is None else bounds.maximum
        return low, max(low, high)

    def _elements(self, axes: Mapping[str, int]) -> int:
        shapes = [
            *self._definition.input_shapes(axes).values(),
            *self._definition.output_shapes(axes).values(),
        ]
        return sum(math.prod(shape) for shape in shapes if shape is not None)

    def _all_sizes(self) -> list[dict[str, int]] | None:
        if math.prod(high - low + 1 for low, high in self._ranges.values()) > COUNTED_SIZES:
            return None
        public = {_key(axes) for axes in self._public}
        spans = [range(low, high + 1) for low, high in self._ranges.values()]
        choices = (dict(zip(self.free_axes, v, strict=True)) for v in itertools.product(*spans))
        found = [axes for free in choices if (axes := self._completed(free)) is not None]
        return [axes for axes in found if _key(axes) not in public]

    def _completed(self, free: Mapping[str, int]) -> dict[str, int] | None:
        """All axes for the free ones; None when that is not legal."""
        axes = dict(free)
        for name, expression in self._following.items():
            value = _whole_value(expression, {**self._definition.const_axes, **axes})
            if value is None or value < 0:
                return None
            axes[name] = value
        if self._largest is not None and self._elements(axes) > self._largest:
            return None
        if set(self._definition.violated_constraints(axes)) & set(self._constraints):
            return None
        return {name: axes[name] for name in self._definition.var_axes}

    def _uniform(self, rng: random.Random, seen: set[tuple[Any, ...]]) -> dict[str, int] | None:
        if self._listed is not None:
            left = [axes for axes in self._listed if _key(axes) not in seen]
            return dict(rng.choice(left)) if left else None
        return self._one(UNIFORM, rng, seen)

    def _one(
        self,
        kind: str,
        rng: random.Random,
        seen: set[tuple[Any, ...]],
        base: Mapping[str, int] | None = None,
    ) -> dict[str, int] | None:
        for _ in range(TRIES):
            if base is not None or (kind == NEAR and self._public):
                axes = self.near(base or rng.choice(self._public), rng)
            else:
                axes = self._completed({n: self._value(kind, n, rng) for n in self.free_axes})
            if axes is not None and _key(axes) not in seen:
                return axes
        return None

    def _value(self, kind: str, name: str, rng: random.Random) -> int:
        low, high = self._ranges[name]
        if kind == SMALL:
            smallest = min((axes[name] for axes in self._public), default=low)
            return rng.randint(low, min(high, max(low, smallest, 8)))
        if kind == "logarithmic":
            return round(math.exp(rng.uniform(math.log(max(low, 1)), math.log(max(high, 1)))))
        if kind == "boundary":
            return min(max(_boundary(low, high, rng), low), high)
        return rng.randint(low, high)


def _boundary(low: int, high: int, rng: random.Random) -> int:
    """A power of two, a multiple of a tile or an end of the range, or the size beside it."""
    kind = rng.choice(("power", "tile", "end"))
    if kind == "end":
        return rng.choice((low, low + 1, high - 1, high))
    if kind == "power":
        at = 1 << rng.randint(0, max(high.bit_length() - 1, 0))
    else:
        tile = rng.choice([t for t in TILES if t <= high] or [1])
        at = tile * rng.randint(1, max(high // tile, 1))
    return at + rng.choice((-1, 0, 1))


def _key(axes: Mapping[str, int]) -> tuple[Any, ...]:
    return tuple(sorted(axes.items()))


def _following_axes(definition: Definition, constraints: Sequence[str]) -> dict[str, ast.expr]:
    """Axes that a constraint `axis == expression` gives, from other axes alone."""
    following: dict[str, ast.expr] = {}
    for text in constraints:
        node = python_expression(text.strip()).body
        if not isinstance(node, ast.Compare) or len(node.ops) != 1:
            continue
        if not isinstance(node.ops[0], ast.Eq):
            continue
        for one, other in ((node.left, node.comparators[0]), (node.comparators[0], node.left)):
            if not isinstance(one, ast.Name) or one.id not in definition.var_axes:
                continue
            names = {n.id for n in ast.walk(other) if isinstance(n, ast.Name)}
            known = set(definition.axes) - {one.id} - set(following)
            if one.id not in following and names <= known and not _uses(following, one.id):
                following[one.id] = other
                break
    return following


def _uses(following: Mapping[str, ast.expr], name: str) -> bool:
    nodes = (node for tree in following.values() for node in ast.walk(tree))
    return any(isinstance(node, ast.Name) and node.id == name for node in nodes)


def _whole_value(node: ast.expr, axes: Mapping[str, int]) -> int | None:
    """The whole number that arithmetic on axes gives; None for anything else."""
    try:
        value = value_of(ast.unparse(node), axes)
    except ValueError:
        return None
    return int(value) if math.isfinite(value) and value == int(value) else None


def draw_scalars(
    definition: Definition,
    policy: Policy,
    public: Mapping[str, Sequence[Scalar]],
    rng: random.Random,
    turn: int,
) -> dict[str, Scalar]:
    """A legal value of every scalar that public workloads state or the policy describes.

    Without a range in the policy, positive floats are drawn from half the least to twice the
    greatest public value, at most 1 where no public value is greater; others keep public values.

    Args:
        public: values in public workloads, by scalar.
        turn: number of the case; every third one takes a value that the policy lists, where it
            lists any.
    """
    names = [n for n, spec in definition.inputs.items() if spec.shape is None]
    drawn: dict[str, Scalar] = {}
    for name in names:
        values = list(public.get(name, ()))
        allowed = policy.scalars.get(name) or _usual_range(values)
        whole = definition.inputs[name].dtype in INTEGERS
        if allowed is not None and allowed.values and (turn % 3 == 1 or not allowed.has_range):
            drawn[name] = rng.choice(allowed.values)
        elif allowed is not None and allowed.has_range:
            drawn[name] = _in_range(allowed, rng, whole=whole)
        elif values:
            drawn[name] = rng.choice(values)
    return drawn


def _usual_range(values: Sequence[Scalar]) -> ScalarRange | None:
    floats = [v for v in values if isinstance(v, float) and math.isfinite(v) and v > 0]
    if not floats or len(floats) < len(values):
        return None
    high = 2 * max(floats)
    return ScalarRange(
        minimum=min(floats) / 2, maximum=min(high, 1.0) if max(floats) <= 1 else high
    )


def _in_range(allowed: ScalarRange, rng: random.Random, *, whole: bool) -> Scalar:
    low, high = allowed.minimum, allowed.maximum
    assert low is not None and high is not None
    if whole:
        return rng.randint(math.ceil(low), math.floor(high))
    if low > 0:
        return math.exp(rng.uniform(math.log(low), math.log(high)))
    return rng.uniform(low, high)


def chance_of_meeting(
    uniform: int, others: int = 0, legal: int | None = None, share: float = FAULTY_SHARE
) -> float:
    """The chance that the sizes called meet a fault on a share of the legal ones, wherever it lies.

    Args:
        uniform: sizes called that were drawn uniformly, without replacement, after the others.
        others: sizes called that were not; the fault may avoid them.
        legal: how many sizes there are to draw from; None: very many.
    """
    if legal is None:
        return 1 - (1 - share) ** uniform
    faulty, left = math.ceil(share * legal), legal - others
    if not legal or uniform > left - faulty:
        return 1.0
    return 1 - math.comb(left - faulty, uniform) / math.comb(left, uniform)
