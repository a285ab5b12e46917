"""Proposals: seeded, of every kind, and drawn to what gained; and the memory that they rest on."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.agents.tuner.edits import EditKind
from kernel_harness.tools.agents.tuner.memory import (
    EditEnd,
    EditOutcome,
    outcome_line,
    outcomes_in,
)
from kernel_harness.tools.agents.tuner.proposals import edits_of, proposals
from tests.tools.agents.scripted_device import ROWS, SOURCE, microseconds

from .simulated import rounds_to

SOURCES = {"kernel.py": SOURCE}
PTRS = ("x_ptr", "weight_ptr")


def test_the_same_program_memory_and_seed_give_the_same_proposals():
    first, again = (proposals(SOURCES, [], [], 12, 7) for _ in range(2))
    assert [p.sources for p in first] == [p.sources for p in again]
    assert [p.sources for p in first] != [p.sources for p in proposals(SOURCES, [], [], 12, 8)]


def test_proposals_are_as_many_as_asked_for_differ_and_come_in_pairs_too():
    found = proposals(SOURCES, [], [], 16, 1)
    assert len({p.sources["kernel.py"] for p in found} | {SOURCE}) == 17
    assert {len(p.edits) for p in found} == {1, 2}


def test_what_was_tried_on_this_program_is_not_tried_again_alone():
    here = [EditOutcome(edit.kind, edit.label, 0.9) for edit in edits_of(SOURCES)]
    assert {len(p.edits) for p in proposals(SOURCES, here, here, 400, 1)} == {2}


def test_kinds_and_places_that_gained_are_drawn_more_often():
    gained = [EditOutcome(EditKind.EVICTION, "_scale.stores.eviction_policy=evict_last", 1.2)] * 12
    lost = [EditOutcome(EditKind.TILE, "run.block=16", 0.8)] * 12

    def share(known: list[EditOutcome]) -> float:
        drawn = [p for seed in range(20) for p in proposals(SOURCES, known, [], 6, seed)]
        kinds = Counter(edit.kind for p in drawn for edit in p.edits)
        return kinds[EditKind.EVICTION] / kinds.total()

    assert share([*gained, *lost]) > 2 * share([])


def drawn(known: list[EditOutcome], count: int = 6) -> Counter[str]:
    return Counter(
        p.label for seed in range(40) for p in proposals(SOURCES, known, [], count, seed)
    )


def test_all_loads_or_stores_together_come_before_any_one_of_them():
    found = drawn([])
    together = found["_scale.loads.eviction_policy=evict_first"]
    assert together > 1.5 * max(
        found[f"_scale.load({p}).eviction_policy=evict_first"] for p in PTRS
    )


@pytest.mark.parametrize(
    ("other", "more", "less"), [("run._scale.num_warps", 1, 2), ("run.split", 2, 1)]
)
def test_pairs_that_leave_a_thread_as_much_to_do_come_more_often(other: str, more: int, less: int):
    """A tile grows with its warps, and against another tile."""
    source = SOURCES["kernel.py"].replace("block, split = 32, 1", "block, split = 32, 8")
    ways = Counter(
        len({int(edit.value) > int(edit.was) for edit in p.edits})
        for seed in range(60)
        for p in proposals({"kernel.py": source}, [], [], 24, seed)
        if {edit.site for edit in p.edits} == {"run.block", other}
    )
    assert ways[more] > 1.5 * ways[less]


def test_what_gained_on_a_program_is_tried_on_the_parts_of_a_dispatch():
    parts = {"part_1.py": SOURCE, "part_2.py": SOURCE, "main.py": "from .part_1 import run\n"}
    known = [
        EditOutcome(EditKind.TILE, "run.block=16", 1.2),
        EditOutcome(EditKind.WARPS, "run._scale.num_warps=2", 1.1),
    ]
    first, *_ = proposals(parts, known, [], 6, 1)
    assert {edit.label for edit in first.edits} == {
        f"part_{n}.py::{label}" for n in (1, 2) for label in ("run.block=16", known[1].label)
    }


def test_a_program_without_anything_to_change_has_no_proposals():
    assert proposals({"kernel.py": "def run(x):\n    return x\n"}, [], [], 5, 1) == []
    assert proposals({"kernel.py": "def run(x:\n"}, [], [], 5, 1) == []


outcomes = st.builds(
    EditOutcome,
    st.sampled_from(EditKind),
    st.from_regex(r"[a-z_.#@()<>0-9\[\]]{1,12}=[a-z_.0-9]{0,8}", fullmatch=True),
    st.sampled_from([0.513, 1.0, 1.312]),
)


@given(st.lists(outcomes, max_size=6))
def test_what_a_lesson_says_of_edits_is_read_back(found: list[EditOutcome]):
    others = [EditOutcome(o.kind, o.label, None, end) for o in found for end in EditEnd]
    line = outcome_line([*found, *others])
    assert Counter(outcomes_in([f"Words before. {line} And behind."])) == Counter([*found, *others])


def test_every_edit_of_a_program_can_be_told_in_a_lesson():
    found = [EditOutcome(edit.kind, edit.label, 1.5) for edit in edits_of(SOURCES)]
    assert Counter(outcomes_in([outcome_line(found)])) == Counter(found)


def times(sources: Mapping[str, str]) -> list[float] | None:
    found = [microseconds(sources["kernel.py"], rows) for rows in ROWS]
    return [us for us in found if us is not None] if None not in found else None


def test_a_hundred_trials_find_the_best_configuration_of_a_program_that_has_thousands():
    """Within 5 % of the best of each size, with noise: 7 blocks, 5 splits, 5 warps, 40 accesses."""
    ideal = {
        rows: min(
            us
            for block in (8, 16, 32)
            for warps in (1, 2, 4)
            if (us := microseconds(best(block, warps), rows)) is not None
        )
        for rows in ROWS
    }
    goal = 1.05 * sum(ideal.values()) / len(ideal)
    took = [rounds_to(SOURCES, times, goal, count=16, seed=seed, most=20) for seed in range(9)]
    assert statistics.median(took) <= 5, took
    assert max(took) <= 20, took


def best(block: int, warps: int) -> str:
    return f"block, split = {block}, 4 num_warps={warps} tl.store(y, eviction_policy='evict_first')"


def test_what_a_round_tried_counts_once_however_many_candidates_tell_of_it():
    line = outcome_line(
        [
            EditOutcome(EditKind.TILE, "run.block=16", 1.2),
            EditOutcome(EditKind.WARPS, "_scale.num_warps=16", 0.44),
        ]
    )
    other = outcome_line([EditOutcome(EditKind.TILE, "run.block=16", 1.1)])
    kept = [f"run.block=16: x1.200 in the race. {line}", f"run.split=4: x1.1. {line}", line]
    assert [o.gain for o in outcomes_in([*kept, f"{other} {line}"])] == [1.2, 0.44, 1.1]
