"""Judges outputs that are samples: each by whether it can occur, all of them by how they lie.

A draw x of probabilities p becomes a number that is uniform between 0 and 1 if, and only if, it was
drawn by them: the probability of all that comes before x, and a random part of p(x). So draws on
different inputs, sizes and rows are judged together. What comes before is counted in two orders, by
number and from the most to the least probable: the first shows a range of values that is never
drawn, the second a wrong temperature, a greedy choice, or numbers that lie beside the right ones.

The limit is that of Dvoretzky, Kiefer and Wolfowitz with Massart's constant: for n independent
draws P(sup |F_n - F| > t) <= 2 exp(-2 n t^2), whatever n is. Elements of one output are taken to be
drawn independently of each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .element_sample import coordinates
from .mismatch import Mismatch

FALSE_ALARM = 1e-6
"""Probability at most with which right draws of one output are called wrong in an evaluation."""
ORDERS = ("in the order of their numbers", "from the most to the least probable")
NUCLEUS_SLACK = 0.05
"""Of top_p, where it is asked which values can be drawn at all: FlashInfer-Bench's."""
MOST_ELEMENTS = 1 << 25
"""Probabilities that are looked at for one call; of larger outputs some rows are taken."""


def as_probabilities(values: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Rows of probabilities in float64, one for each element of an output of that shape.

    Raises:
        ValueError: when the values are no distributions, in words.
    """
    if tuple(values.shape[:-1]) != shape or not values.dim():
        raise ValueError(f"the shape {list(values.shape)} is not {list(shape)} and one more axis")
    rows = values.reshape(-1, values.shape[-1]).double()
    sums = rows.sum(-1, keepdim=True)
    if not bool((torch.isfinite(rows) & (rows >= 0)).all()) or not bool((sums > 0).all()):
        raise ValueError("there are negative values, none that are finite, or rows of zeros")
    return rows / sums


def narrowed(
    rows: torch.Tensor,
    top_k: torch.Tensor | float | None = None,
    top_p: torch.Tensor | float | None = None,
    slack: float = 0.0,
) -> torch.Tensor:
    """The distributions of the most probable values alone: of k, then of those that reach p.

    Values that are as probable as the last that is taken are taken, too.

    Args:
        rows: as `as_probabilities` gives them.
        top_k: for each row, or for all; 0, less, or as many as there are: all values.
        top_p: likewise; 0 or less: the most probable value alone.
        slack: added to p, for sums that another program rounds otherwise.
    """
    categories = rows.shape[-1]
    if top_k is not None:
        k = torch.as_tensor(top_k, device=rows.device).reshape(-1, 1).long()
        every = (k <= 0) | (k >= categories)
        descending = rows.sort(dim=-1, descending=True).values
        last = descending.gather(-1, k.expand(len(rows), 1).clamp(1, categories) - 1)
        rows = rows * (every | (rows >= last))
        rows = rows / rows.sum(-1, keepdim=True)
    if top_p is not None:
        p = torch.as_tensor(top_p, device=rows.device).reshape(-1, 1).double() + slack
        descending = rows.sort(dim=-1, descending=True).values
        before = descending.cumsum(-1) - descending
        count = (before < p).sum(-1, keepdim=True).clamp(min=1)
        last = descending.gather(-1, count - 1)
        rows = rows * (rows >= last)
        rows = rows / rows.sum(-1, keepdim=True)
    return rows


def impossible_draws(
    name: str, got: torch.Tensor, probabilities: torch.Tensor
) -> Mapping[str, object]:
    """An answer in the form of a compare.py's: whether every draw can occur, and the first if not.

    Args:
        probabilities: as `as_probabilities` or `narrowed` gives them.
    """
    drawn, categories = got.reshape(-1).long(), probabilities.shape[-1]
    inside = (drawn >= 0) & (drawn < categories)
    chance = probabilities.gather(-1, drawn.clamp(0, max(categories - 1, 0))[:, None])[:, 0]
    bad = ~inside | (chance == 0)
    count = int(bad.sum())
    if not count:
        return {"ok": True, "matched_ratio": 1.0}
    at = int(bad.nonzero()[0])
    index = [int(i) for i in coordinates(torch.tensor(at), got.shape)]
    why = "whose probability is 0" if bool(inside[at]) else f"outside of 0 to {categories - 1}"
    return {
        "ok": False,
        "matched_ratio": 1 - count / drawn.numel(),
        "kind": "impossible_sample",
        "message": f"Output {name!r}: {count} of {drawn.numel()} draws cannot occur; at {index} "
        f"{int(drawn[at])} was drawn, {why}.",
        "remedy": "Draw only values of a probability above 0: look at the mask, at the end of the "
        "cumulative sum, and at what stands for no choice.",
        "index": index,
        "got": float(drawn[at]),
        "mismatched": count,
    }


def uniform_numbers(
    got: torch.Tensor, probabilities: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """For each draw two numbers, one by each of `ORDERS`, that are uniform if it is a right one.

    Args:
        got: draws that can occur.
        generator: on the CPU; the candidate must not foresee it.
    """
    drawn, rows = got.reshape(-1).long().cpu(), probabilities.cpu()
    most = max(1, MOST_ELEMENTS // max(rows.shape[-1], 1))
    if drawn.numel() > most:
        taken = torch.randperm(drawn.numel(), generator=generator)[:most]
        drawn, rows = drawn[taken], rows[taken]
    chance = rows.gather(-1, drawn[:, None])
    before = torch.arange(rows.shape[-1]) < drawn[:, None]
    likelier = (rows > chance) | ((rows == chance) & before)
    part = torch.rand(len(drawn), generator=generator, dtype=torch.float64) * chance[:, 0]
    return torch.stack([(rows * mask).sum(-1) + part for mask in (before, likelier)])


@dataclass(frozen=True)
class Deviation:
    """Where the numbers of draws lie farthest from uniform.

    Args:
        due, got: the share that should lie below the place, and the share that does.
        limit: how far these may be apart.
        order: one of `ORDERS`.
    """

    due: float
    got: float
    limit: float
    draws: int
    order: str

    @property
    def too_large(self) -> bool:
        """Whether it is larger than the false alarm rate admits."""
        return abs(self.due - self.got) > self.limit


def largest_deviation(numbers: torch.Tensor) -> Deviation:
    """The largest deviation of draws, both orders considered.

    Args:
        numbers: of all draws, at least one, as `uniform_numbers` gives them.
    """
    count = numbers.shape[1]
    limit = math.sqrt(math.log(2 * len(ORDERS) / FALSE_ALARM) / (2 * count))
    found: list[Deviation] = []
    for order, row in zip(ORDERS, numbers.sort(dim=-1).values, strict=True):
        for share in (torch.arange(1, count + 1) / count, torch.arange(count) / count):
            at = int((share - row).abs().argmax())
            found.append(Deviation(float(row[at]), float(share[at]), limit, count, order))
    return max(found, key=lambda deviation: abs(deviation.due - deviation.got))


def same_draws(name: str, draws: int) -> Mismatch:
    """The mismatch of an output of which two calls drew all elements alike."""
    return Mismatch(
        "same_draws",
        f"Output {name!r}: calls on the same inputs drew all {draws} elements alike, which right "
        "draws do in less than one evaluation of a million.",
        "Draw anew in each call: take no fixed seed, and keep no result.",
        total=draws,
    )


class SampledOutput:
    """Gathers the draws of one output over the calls of a trial, and judges them together.

    Args:
        due: draws that are wanted.
        seed: of the numbers by which draws are spread.
    """

    def __init__(self, name: str, due: int, seed: int) -> None:
        self.name, self.due = name, due
        self._generator = torch.Generator().manual_seed(seed)
        self._numbers: list[torch.Tensor] = []

    def note(self, got: torch.Tensor, probabilities: torch.Tensor) -> None:
        """Adds the draws of a call on inputs of its own, all of which can occur."""
        if got.numel():
            self._numbers.append(uniform_numbers(got, probabilities, self._generator))

    @property
    def draws(self) -> int:
        """How many draws there are."""
        return sum(numbers.shape[1] for numbers in self._numbers)

    def mismatch(self) -> Mismatch | None:
        """How the draws differ from the probabilities; None when they may be right ones."""
        if not self._numbers:
            return None
        found = largest_deviation(torch.cat(self._numbers, dim=1))
        if not found.too_large:
            return None
        message = (
            f"Output {self.name!r} is not drawn by the probabilities that are given: of "
            f"{found.draws} draws {found.got:.1%} are among the values that come first "
            f"{found.order} and have {found.due:.1%} of the probability; right draws differ by "
            f"more than {found.limit:.1%} in one evaluation of a million."
        )
        return Mismatch(
            "wrong_distribution",
            message,
            "Draw by the probabilities as they are, for each element independently and anew in "
            "each call: look at the scale of the random number, at the order of the cumulative "
            "sum, and at seeds that never change.",
            expected=round(found.due, 4),
            got=round(found.got, 4),
            total=found.draws,
        )
