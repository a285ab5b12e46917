"""All is placed before the first replay, and looked at after the last; programs take turns."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kernel_harness.tools.judge.timing.programs.turns import (
    Turn,
    paired_turns,
    replay_in_turn,
)
from kernel_harness.tools.judge.timing.replayed_program import ReplayedProgram
from kernel_harness.tools.schema.measurement import Objective

COLD, WARM, CLEAN = Objective.COLD, Objective.WARM, Objective.CLEAN


class Runner:
    """Writes down what is asked of it."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.name, self._journal = name, journal
        self.flushes: list[str] = []

    def place(self, input_sets: Any) -> None:
        self._journal.append(f"place {self.name}")

    def await_placed(self) -> None:
        self._journal.append("await_placed")

    def make(self, poison: Any, flushes: Any) -> None:
        self._journal.append(f"make {self.name}")
        self.flushes += flushes

    def hear(self) -> None:
        self._journal.append(f"hear {self.name}")


def program(*runners: Runner) -> ReplayedProgram:
    return cast(ReplayedProgram, SimpleNamespace(runners=list(runners)))


def sets(count: int) -> Any:
    return [f"set {number}" for number in range(count)]


def test_nothing_but_replays_lies_between_two_replays():
    journal: list[str] = []
    a, b = Runner("a", journal), Runner("b", journal)
    times = iter([1.0, 2.0])
    turns = [
        Turn(program(a), 0, sets(2), [COLD, None], [1, 2]),
        Turn(program(b), 0, sets(2), [WARM, CLEAN], [1, 2]),
    ]

    @contextmanager
    def held() -> Iterator[None]:
        journal.append("hold")
        yield
        journal.append("let go")

    replay_in_turn(turns, lambda: next(times), held)
    due = "place a,place b,await_placed,hold,make a,make b,let go,hear a,hear b"
    assert journal == due.split(",")
    assert [turn.at_s for turn in turns] == [1.0, 2.0]
    assert a.flushes == ["fill", "fill"] and b.flushes == ["none", "read"]


@pytest.mark.parametrize("first", [0, 1])
def test_candidate_and_baseline_take_turns_at_being_first_on_the_same_inputs(first):
    ours, theirs = (program(*[Runner(n, []) for n in "abc"]) for _ in range(2))
    turns = paired_turns(COLD, (ours, theirs), sets(4), 9, first, random.Random(1))
    assert [turn.block for turn in turns] == [0, 0, 1, 1, 2, 2]
    assert [len(turn.input_sets) for turn in turns] == [4, 4, 4, 4, 1, 1]
    begins = [turn.program is ours for turn in turns[::2]]
    assert begins == [bool((first + block) % 2) for block in range(3)]
    for one, other in zip(turns[::2], turns[1::2], strict=True):
        assert one.program is not other.program
        assert one.poison == other.poison and one.input_sets == other.input_sets


def test_without_a_baseline_the_candidate_is_alone():
    ours = program(Runner("a", []), Runner("b", []))
    turns = paired_turns(COLD, (ours, None), sets(4), 4, 0, random.Random(1))
    assert [(turn.block, len(turn.input_sets)) for turn in turns] == [(0, 4)]
