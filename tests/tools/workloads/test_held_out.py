"""Sizes and scalars that no public workload has: legal, spread as said, the same for one seed."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_harness.tools.schema.flashinfer_trace import Definition
from kernel_harness.tools.workloads.held_out import (
    UNIFORM,
    SizeSpace,
    chance_of_meeting,
    draw_scalars,
)
from kernel_harness.tools.workloads.policy import Policy

from .conftest import definition

ROWS = (1, 4, 8, 16, 32, 48, 64)


def one_axis(**changes: Any) -> Definition:
    axes = {"rows": {"type": "var"}, "width": {"type": "const", "value": 64}}
    inputs = {
        "x": {"shape": ["rows", "width"], "dtype": "bfloat16"},
        "scale": {"shape": None, "dtype": "float32"},
        "offset": {"shape": None, "dtype": "int32"},
    }
    return Definition.model_validate(definition(axes=axes, inputs=inputs, **changes))


def space(policy: dict[str, Any] | None = None, rows: tuple[int, ...] = ROWS, **changes: Any):
    public = [{"rows": size} for size in rows]
    return SizeSpace(one_axis(**changes), Policy.model_validate(policy or {}), public)


def sizes(drawn) -> list[int]:
    return [size.axes["rows"] for size in drawn]


def test_a_small_space_is_drawn_from_without_replacement_until_it_is_empty() -> None:
    found = sizes(space().draw(random.Random(1), uniform=59, others=12))
    assert space().count == 57
    assert sorted(found) == [n for n in range(1, 65) if n not in ROWS]


def test_one_seed_gives_one_choice() -> None:
    first, again, other = (
        space(rows=(5, 9000)).draw(random.Random(s), uniform=5, others=5) for s in (1, 1, 2)
    )
    assert first == again != other


def test_bounds_of_the_policy_come_before_those_of_the_workloads() -> None:
    bounded = space({"axes": {"rows": {"minimum": 60, "maximum": 70}}})
    found = sizes(bounded.draw(random.Random(1), 20, 0))
    assert sorted(found) == [60, 61, 62, 63, 65, 66, 67, 68, 69, 70]


def test_constraints_hold_for_every_size() -> None:
    even = space(constraints=["rows % 2 == 0"]).draw(random.Random(1), uniform=59, others=9)
    assert len(even) == 32 - 6 and all(size % 2 == 0 for size in sizes(even))


def test_an_axis_that_a_constraint_gives_follows_the_others() -> None:
    tied = Definition.model_validate(definition(constraints=["pages == 2 * rows + 1"]))
    public = [{"rows": n, "pages": 2 * n + 1} for n in (3, 500)]
    found = SizeSpace(tied, Policy(), public)
    assert found.free_axes == ("rows",)
    drawn = found.draw(random.Random(1), uniform=20, others=5)
    assert len(drawn) == 25
    assert all(s.axes["pages"] == 2 * s.axes["rows"] + 1 for s in drawn)


def test_sizes_are_no_larger_than_the_largest_workload_in_all() -> None:
    free = Definition.model_validate(definition())
    public = [{"rows": 1000, "pages": 1}, {"rows": 1, "pages": 1000}]
    drawn = SizeSpace(free, Policy(), public).draw(random.Random(1), uniform=20, others=6)
    assert len(drawn) == 26
    assert all(2 * s.axes["rows"] + s.axes["pages"] <= 2001 for s in drawn)


def test_boundaries_come_more_often_than_by_chance_and_the_first_is_small() -> None:
    wide = space(rows=(7, 14107))
    boundary = {
        b + d for b in [*(1 << k for k in range(14)), *range(16, 14107, 16)] for d in (-1, 0, 1)
    }
    boundary |= {1, 2, 14106, 14107}
    counts: Counter[bool] = Counter()
    for seed in range(100):
        drawn = wide.draw(random.Random(seed), uniform=0, others=5)
        assert drawn[0].axes["rows"] <= 8 and drawn[0].kind == "small"
        counts.update(s.axes["rows"] in boundary for s in drawn if s.kind == "boundary")
    assert counts[False] == 0


@given(seed=st.integers(0, 10_000), largest=st.integers(1, 3000), others=st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_sizes_are_legal_distinct_and_new(seed: int, largest: int, others: int) -> None:
    found = sizes(space(rows=(largest,)).draw(random.Random(seed), 8, others))
    assert len(set(found)) == len(found) == min(8 + others, largest - 1)
    assert all(1 <= size <= largest and size != largest for size in found)


def test_a_size_near_a_public_one_is_within_a_tenth_of_it() -> None:
    found = space(rows=(1, 200)).near({"rows": 200}, random.Random(1))
    assert found is not None and 180 <= found["rows"] <= 200


def test_sizes_to_time_lie_beside_public_ones_and_are_spread_as_those() -> None:
    wide = space(rows=(100, 100, 1000, 10_000))
    drawn = wide.draw(random.Random(1), uniform=0, others=1, timed=4)
    assert [s.kind for s in drawn] == ["small", *["timed"] * 4]
    for size, beside in zip(sizes(drawn[1:]), (100, 100, 1000, 10_000), strict=True):
        assert size != beside and abs(size - beside) <= beside / 10


# --- chance -----------------------------------------------------------------------------------

WINDOWS_TRIED_FIRST = [(200, 0.95)]
"""Largest size, and where the window of wrong ones begins; `make test-long` tries the others."""


@pytest.mark.parametrize(
    ("largest", "at"),
    [
        pytest.param(*chosen, marks=[] if chosen in WINDOWS_TRIED_FIRST else [pytest.mark.long])
        for chosen in itertools.product([64, 200, 14107], [0.0, 0.3, 0.95])
    ],
)
def test_a_fault_on_a_twentieth_of_the_sizes_is_found_as_often_as_said(
    largest: int, at: float
) -> None:
    """Simulates candidates that are wrong on a window of 5 % of the sizes."""
    rows = (1, largest // 2, largest)
    legal = [n for n in range(1, largest + 1) if n not in rows]
    width = -(-len(legal) // 20)
    first = min(int(at * len(legal)), len(legal) - width)
    wrong = set(legal[first : first + width])
    found, trials = 0, 300
    drawing = space(rows=rows)
    for seed in range(trials):
        drawn = drawing.draw(random.Random(seed), uniform=59, others=12)
        found += not wrong.isdisjoint(sizes(drawn))
    assert found / trials >= 0.92, "95 % less three standard errors"


def test_fifty_nine_sizes_are_enough_for_ninety_five_in_a_hundred() -> None:
    assert chance_of_meeting(58) < 0.95 <= chance_of_meeting(59)
    assert chance_of_meeting(43, others=14, legal=57) == 1.0
    assert chance_of_meeting(59, legal=1000) > 0.95
    assert chance_of_meeting(0) == 0.0
    # Five of a hundred are at fault, none of them among forty that were called first.
    missed = math.prod((55 - i) / (60 - i) for i in range(10))
    assert chance_of_meeting(10, others=40, legal=100) == pytest.approx(1 - missed)


# --- scalars ----------------------------------------------------------------------------------


def scalars(policy: dict[str, Any], turn: int, seed: int = 1, **public: list[Any]):
    return draw_scalars(
        one_axis(), Policy.model_validate(policy), public, random.Random(seed), turn
    )


def test_a_scalar_of_a_policy_is_drawn_from_its_range_and_its_values() -> None:
    policy = {"scalars": {"scale": {"minimum": 0.5, "maximum": 2.0, "values": [0.0]}}}
    ranged = [scalars(policy, 0, seed)["scale"] for seed in range(50)]
    assert len(set(ranged)) == 50 and all(0.5 <= value <= 2.0 for value in ranged)
    assert scalars(policy, 1)["scale"] == 0.0


def test_a_whole_number_stays_one() -> None:
    policy = {"scalars": {"offset": {"minimum": 0, "maximum": 224}}}
    values = [scalars(policy, 0, seed)["offset"] for seed in range(50)]
    assert all(isinstance(v, int) and 0 <= v <= 224 for v in values) and len(set(values)) > 20


@pytest.mark.parametrize(
    ("public", "low", "high"),
    [([0.1, 0.4], 0.05, 0.8), ([0.9], 0.45, 1.0), ([2.5], 1.25, 5.0)],
)
def test_without_a_policy_positive_floats_are_drawn_around_the_public_values(
    public: list[float], low: float, high: float
) -> None:
    values = [scalars({}, turn, seed=turn, scale=public)["scale"] for turn in range(30)]
    assert len(set(values)) == 30 and all(low <= v <= high for v in values)


@pytest.mark.parametrize("public", [[32, 64], [-1.0], [float("inf"), 1.0], [0.0], [True]])
def test_without_a_policy_other_scalars_keep_public_values(public: list[Any]) -> None:
    assert {scalars({}, turn, seed=turn, scale=public)["scale"] for turn in range(9)} <= set(public)


def test_a_scalar_that_nobody_states_is_left_to_the_operator() -> None:
    assert scalars({}, 0) == {}


def test_uniform_draws_are_marked() -> None:
    kinds = [size.kind for size in space().draw(random.Random(1), uniform=3, others=4)]
    assert kinds == ["small", "boundary", "near", "logarithmic", *[UNIFORM] * 3]
