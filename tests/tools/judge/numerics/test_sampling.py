"""Samplers, right ones and wrong ones, as the judge sees them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from kernel_harness.tools.judge.numerics.sampling import (
    FALSE_ALARM,
    SampledOutput,
    as_probabilities,
    impossible_draws,
    largest_deviation,
    narrowed,
    uniform_numbers,
)

ROWS, VALUES, DRAWS = 16, 64, 4_000
Sampler = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def _multinomial(p: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    return torch.multinomial(p, 1, generator=g)[:, 0]


def _by_gumbel_noise(p: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    noise = torch.empty_like(p).exponential_(generator=g)
    return (p / noise).argmax(-1)


def _by_inversion(p: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    u = torch.rand(len(p), 1, generator=g, dtype=p.dtype)
    return (p.cumsum(-1) < u).sum(-1).clamp(max=p.shape[-1] - 1)


def _tempered(power: float) -> Sampler:
    return lambda p, g: _multinomial(p**power, g)


HONEST: dict[str, Sampler] = {
    "multinomial": _multinomial,
    "gumbel": _by_gumbel_noise,
    "inversion": _by_inversion,
}
WRONG: dict[str, Sampler] = {
    "greedy": lambda p, g: p.argmax(-1),
    "always the first": lambda p, g: torch.zeros(len(p), dtype=torch.long),
    "uniform": lambda p, g: torch.randint(0, p.shape[-1], (len(p),), generator=g),
    "too cold": _tempered(1.3),
    "too hot": _tempered(0.75),
    "off by one": lambda p, g: (_multinomial(p, g) + 1) % p.shape[-1],
    "never the last tile": lambda p, g: _multinomial(p[:, : p.shape[-1] * 7 // 8], g),
    "one random number for ever": lambda p, g: (p.cumsum(-1) < 0.37).sum(-1),
    "a half of each random number": lambda p, g: (
        p.cumsum(-1) < torch.rand(len(p), 1, generator=g) / 2
    ).sum(-1),
    "of the row before": lambda p, g: _multinomial(p.roll(1, 0), g),
}


def sampled(sampler: Sampler, seed: int = 0, draws: int = DRAWS) -> SampledOutput:
    """What is gathered of a sampler on fresh probabilities in each call."""
    g = torch.Generator().manual_seed(seed)
    found = SampledOutput("y", draws, seed + 1)
    while found.draws < draws:
        p = torch.softmax(2 * torch.randn(ROWS, VALUES, generator=g), -1)
        found.note(sampler(p, g), as_probabilities(p, (ROWS,)))
    return found


@pytest.mark.parametrize("sampler", HONEST.values(), ids=HONEST)
def test_a_right_sampler_passes_with_every_seed(sampler: Sampler) -> None:
    assert not [seed for seed in range(20) if sampled(sampler, seed).mismatch() is not None]


@pytest.mark.parametrize("sampler", WRONG.values(), ids=WRONG)
def test_a_wrong_sampler_is_caught_and_told_with_its_figures(sampler: Sampler) -> None:
    mismatch = sampled(sampler).mismatch()
    assert mismatch is not None and mismatch.kind == "wrong_distribution"
    assert "'y'" in mismatch.message and f"{mismatch.total} draws" in mismatch.message
    assert mismatch.expected != mismatch.got


def test_the_false_alarms_of_uniform_numbers_are_as_rare_as_stated() -> None:
    """At half of the limit the stated bound is large enough to be seen, and is held to."""
    g = torch.Generator().manual_seed(3)
    found = [
        largest_deviation(torch.rand(2, 500, generator=g, dtype=torch.float64))
        for _ in range(2_000)
    ]
    assert not any(deviation.too_large for deviation in found)
    # 2 exp(-2 n t^2) for both orders at half of the limit: (FALSE_ALARM / 4) ** (1 / 4) * 4.
    bound = 4 * (FALSE_ALARM / 4) ** 0.25
    half = sum(abs(d.due - d.got) > d.limit / 2 for d in found) / len(found)
    assert 0 < half <= 1.3 * bound


def test_draws_of_a_point_mass_and_of_ties_are_uniform_numbers() -> None:
    g = torch.Generator().manual_seed(4)
    certain = torch.zeros(5_000, 8, dtype=torch.float64)
    certain[:, 3] = 1.0
    even = torch.full((5_000, 8), 0.125, dtype=torch.float64)
    drawn = torch.randint(0, 8, (5_000,), generator=g)
    for got, rows in ((torch.full((5_000,), 3), certain), (drawn, even)):
        numbers = uniform_numbers(got, rows, g)
        assert 0 <= numbers.min() and numbers.max() <= 1
        assert not largest_deviation(numbers).too_large


@pytest.mark.parametrize(
    ("value", "words"), [(-1, "outside of 0 to 3"), (4, "outside"), (2, "probability is 0")]
)
def test_a_draw_that_cannot_occur_is_wrong_at_once(value: int, words: str) -> None:
    rows = as_probabilities(torch.tensor([[1.0, 1, 0, 2]] * 3), (3,))
    assert impossible_draws("y", torch.tensor([0, 1, 3]), rows)["ok"]
    answer = impossible_draws("y", torch.tensor([0, value, 3]), rows)
    assert not answer["ok"] and words in str(answer["message"]) and answer["index"] == [1]


@pytest.mark.parametrize(
    "values",
    [torch.tensor([[0.5, -0.1]]), torch.zeros(1, 2), torch.tensor([[float("nan"), 1]])],
)
def test_what_is_no_distribution_is_refused(values: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="negative"):
        as_probabilities(values, (1,))
    with pytest.raises(ValueError, match="one more axis"):
        as_probabilities(torch.ones(2, 3), (3,))


ROW = torch.tensor([[0.1, 0.4, 0.2, 0.3]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("top_k", "top_p", "due"),
    [
        (None, None, [0.1, 0.4, 0.2, 0.3]),
        (2, None, [0, 4 / 7, 0, 3 / 7]),
        (1, None, [0, 1, 0, 0]),
        (0, None, [0.1, 0.4, 0.2, 0.3]),
        (-3, None, [0.1, 0.4, 0.2, 0.3]),
        (9, None, [0.1, 0.4, 0.2, 0.3]),
        (None, 0.5, [0, 4 / 7, 0, 3 / 7]),
        (None, 0.1, [0, 1, 0, 0]),
        (None, -1.0, [0, 1, 0, 0]),
        (None, 1.0, [0.1, 0.4, 0.2, 0.3]),
        # Of the two that are left, the first has 4/7 of the probability.
        (2, 0.5, [0, 1, 0, 0]),
        (2, 0.6, [0, 4 / 7, 0, 3 / 7]),
    ],
)
def test_the_most_probable_are_left_by_k_and_then_by_p(top_k, top_p, due):
    found = narrowed(ROW, top_k, None if top_p is None else torch.tensor([top_p]))
    assert found[0].tolist() == pytest.approx(due)


def test_every_row_has_limits_of_its_own_and_equals_are_taken_together():
    rows = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.7, 0.1, 0.1, 0.1]], dtype=torch.float64)
    assert narrowed(rows, torch.tensor([1, 1])).tolist() == [[0.25] * 4, [1, 0, 0, 0]]
    left = narrowed(rows, None, torch.tensor([0.3, 0.3]))
    assert left.tolist() == [[0.25] * 4, [1, 0, 0, 0]]
    assert narrowed(ROW, None, 0.39, slack=0.05).tolist()[0] == pytest.approx([0, 4 / 7, 0, 3 / 7])
