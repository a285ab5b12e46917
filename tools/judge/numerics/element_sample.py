"""A bounded sample of the mismatched elements of one output, against which hypotheses are held."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

MOST_SAMPLED = 2048
MOST_LISTED = 1 << 20
"""Mismatches that are listed one by one; of more, places are drawn and tried."""
TRIED_FOR_SHIFT = 48
MOST_SHIFT = 2048
EXPLAINED = 0.95
"""Share of the sample that a hypothesis must explain."""
EVIDENCE = 30.0
"""Least negative logarithm of the probability that so many elements agree by chance."""
ORDERS = 8
"""Random orders of the sample by which the probability of chance is estimated."""
TOLERANCES = {
    torch.bfloat16: 0.02,
    torch.float8_e4m3fn: 0.1,
    torch.float8_e5m2: 0.2,
}
"""How far from a hypothesis an element may be, relative to it and to the typical element."""
SHARPER = (100.0, 10.0, 1.0)
"""By how much the tolerance is divided, in the order that is tried. Values that lie close together,
as those of a logsumexp, agree by chance unless they are compared more exactly."""


@dataclass(frozen=True)
class ElementSample:
    """Mismatched elements: where they are, what they hold and what is due there.

    Args:
        flat: int64, their places in the flattened output.
        got: float64, on the output's device like all tensors here.
        due: float64, the expected values at the same places.
        expected: the whole expected output, flattened.
        first_wrong: by axis, the least index at which anything is wrong.
        tolerance: how far from a hypothesis an element may be.
    """

    shape: tuple[int, ...]
    flat: torch.Tensor
    got: torch.Tensor
    due: torch.Tensor
    expected: torch.Tensor
    first_wrong: tuple[int, ...]
    tolerance: float
    of_bools: bool

    @classmethod
    def of(cls, got: torch.Tensor, expected: torch.Tensor, bad: torch.Tensor) -> ElementSample:
        """Samples the elements where `bad` is true, of which there must be one at least."""
        flat = _sampled(bad.reshape(-1))
        whole = expected.reshape(-1)
        tolerance = TOLERANCES.get(got.dtype, 0.01) if got.dtype.is_floating_point else 0.0
        first = tuple(int(wrong_along(bad, d).int().argmax()) for d in range(bad.dim()))
        return cls(
            shape=tuple(got.shape),
            flat=flat,
            got=got.reshape(-1)[flat].double(),
            due=whole[flat].double(),
            expected=whole,
            first_wrong=first,
            tolerance=tolerance,
            of_bools=got.dtype == torch.bool,
        )

    def flattened(self) -> ElementSample:
        """The same elements of the output seen as one axis."""
        return ElementSample(**{**vars(self), "shape": (self.expected.numel(),)})

    def from_fine_to_coarse(self) -> Iterator[ElementSample]:
        """The same elements, compared ever less exactly while errors can be told from agreement."""
        for divisor in SHARPER if self.tolerance else (1.0,):
            sharper = ElementSample(**{**vars(self), "tolerance": self.tolerance / divisor})
            if sharper.distinct_from_expected:
                yield sharper

    @property
    def distinct_from_expected(self) -> bool:
        """Whether the errors are large enough to tell one explanation from another."""
        return float(self._agree(self.got, self.due).double().mean()) <= 0.2

    def places(self) -> list[torch.Tensor]:
        """The coordinates of the elements, axis by axis."""
        return coordinates(self.flat, self.shape)

    def ravel(
        self, place: Sequence[torch.Tensor], shape: Sequence[int] | None = None
    ) -> torch.Tensor:
        """The places in the flattened output that coordinates stand for."""
        flat = torch.zeros_like(self.flat)
        for index, size in zip(place, shape or self.shape, strict=True):
            flat = flat * size + index
        return flat

    def value_at(self, flat: torch.Tensor) -> torch.Tensor:
        """float64, the expected values at places of the flattened output."""
        return self.expected[flat].double()

    def explained_by(self, hypothesis: torch.Tensor, counted: torch.Tensor | None = None) -> bool:
        """Whether the elements are what a hypothesis says, and hardly could be by chance.

        Args:
            hypothesis: float64, one value for each element.
            counted: bool, the elements of which it says anything; None: all.
        """
        got = self.got if counted is None else self.got[counted]
        said = hypothesis if counted is None else hypothesis[counted]
        right = self._agree(got, said)
        share = float(right.double().mean()) if right.numel() else 0.0
        if share < EXPLAINED:
            return False
        return float(right.sum()) * -math.log(max(self._chance(got, said), 0.02)) >= EVIDENCE

    def explained_by_elements(
        self, source: torch.Tensor, counted: torch.Tensor | None = None
    ) -> bool:
        """Whether the elements are the expected ones of other places."""
        return self.explained_by(self.value_at(source), counted)

    def typical_ratio(self) -> float | None:
        """The median of what is there to what is due, over elements that are not small."""
        usable = torch.isfinite(self.got) & torch.isfinite(self.due)
        usable &= self.due.abs() > 0.1 * self._scale(self.due)
        if not bool(usable.any()):
            return None
        ratio = float((self.got[usable] / self.due[usable]).median())
        return ratio if math.isfinite(ratio) and ratio != 0 else None

    def typical_difference(self) -> float | None:
        """The median of what is there less what is due; None where there is no such number."""
        usable = torch.isfinite(self.got) & torch.isfinite(self.due)
        if not bool(usable.any()):
            return None
        return float((self.got - self.due)[usable].median()) or None

    def likely_shift(self, axis: int) -> int | None:
        """The distance along an axis at which most of some elements are found again."""
        size = self.shape[axis]
        if size < 2:
            return None
        few = self._few()
        place = few.places()
        if size <= MOST_SHIFT:
            shifts = torch.arange(1, size, device=self.flat.device)
        else:
            near = torch.arange(1, MOST_SHIFT // 2, device=self.flat.device)
            half = torch.tensor([size // 2], device=self.flat.device)
            shifts = torch.cat([near, half, size - near])
        moved = (place[axis][:, None] + shifts) % size
        stride = math.prod(self.shape[axis + 1 :])
        source = few.flat[:, None] + (moved - place[axis][:, None]) * stride
        found = self._agree(few.got[:, None], self.value_at(source)).sum(dim=0)
        best = int(found.argmax())
        if 3 * int(found[best]) < few.flat.numel():
            return None
        shift = int(shifts[best])
        return shift if 2 * shift <= size else shift - size

    def _few(self) -> ElementSample:
        step = max(1, self.flat.numel() // TRIED_FOR_SHIFT)
        parts = {name: getattr(self, name)[::step] for name in ("flat", "got", "due")}
        return ElementSample(**{**vars(self), **parts})

    def _chance(self, got: torch.Tensor, said: torch.Tensor) -> float:
        """The share of elements that agree with values said of other elements."""
        count, generator = said.numel(), torch.Generator().manual_seed(0)
        # Several orders, and no element in its own place: of few elements, one order tells little.
        orders = torch.stack([torch.randperm(count, generator=generator) for _ in range(ORDERS)])
        moved = (orders != torch.arange(count)).to(said.device)
        agree = self._agree(got, said[orders.to(said.device)]) & moved
        return float(agree.sum()) / max(1, int(moved.sum()))

    def _scale(self, values: torch.Tensor) -> float:
        finite = values[torch.isfinite(values)].abs()
        return float(finite.median()) if finite.numel() else 0.0

    def _agree(self, got: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        near = (got - said).abs() <= self.tolerance * (said.abs() + self._scale(self.due))
        return near | (got == said) | (torch.isnan(got) & torch.isnan(said))


def wrong_along(bad: torch.Tensor, axis: int) -> torch.Tensor:
    """bool, one for each index of an axis: whether anything is wrong there."""
    others = [d for d in range(bad.dim()) if d != axis]
    return bad.amax(dim=others) if others else bad


def _sampled(bad: torch.Tensor) -> torch.Tensor:
    """int64, places of true elements, at most MOST_SAMPLED of them."""
    if bad.numel() > MOST_LISTED and int(bad.sum()) > MOST_LISTED:
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randint(bad.numel(), (1 << 16,), generator=generator).to(bad.device)
        listed = drawn.sort().values
        listed = listed[bad[listed]]
    else:
        listed = bad.nonzero().flatten()
    if listed.numel() == 0:
        listed = bad.int().argmax()[None]
    step = max(1, -(-listed.numel() // MOST_SAMPLED))
    if step == 1:
        return listed
    generator = torch.Generator().manual_seed(1)
    chosen = torch.randperm(listed.numel(), generator=generator)[:MOST_SAMPLED]
    return listed[chosen.sort().values.to(listed.device)]


def coordinates(flat: torch.Tensor, shape: Sequence[int]) -> list[torch.Tensor]:
    """The indices, axis by axis, of places in a flattened tensor.

    As `torch.unravel_index` has them, whose first call loads sympy: two seconds of a fresh judge.
    """
    found: list[torch.Tensor] = []
    for size in reversed(shape):
        found.append(flat % size)
        flat = flat // size
    return found[::-1]
