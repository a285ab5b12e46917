"""Replays in several runners, one after another: nothing but replays lies between two of them.

All inputs lie in place before the first begins, and outputs are looked at after the last. A runner
reads its clocks' records while the next one replays.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ....messages.judge import Checks
from ....messages.runner import Flush
from ....schema.measurement import Objective
from ...operators.input_sets import InputSet
from ...replay.output_checks import poison_bytes
from ...replay.program_runner import ProgramRunner
from ..replayed_program import ReplayedProgram

FLUSHES: dict[Objective, Flush] = {
    Objective.COLD: "fill",
    Objective.CLEAN: "read",
    Objective.WARM: "none",
}
"""What comes before each call, by the times that are taken."""


@dataclass
class Turn:
    """Calls that one runner replays at once.

    Args:
        block: which of the program's runners.
        kinds: what times are taken of each call; None: of one that is only checked.
        poison: for each, the byte that its outputs are filled with before it.
        at_s: when they had been made, by the clock that was given.
    """

    program: ReplayedProgram
    block: int
    input_sets: Sequence[InputSet]
    kinds: Sequence[Objective | None]
    poison: Sequence[int]
    at_s: float = 0.0

    @property
    def runner(self) -> ProgramRunner:
        """The runner."""
        return self.program.runners[self.block]

    @property
    def flushes(self) -> list[Flush]:
        """What comes before each call."""
        return [FLUSHES[kind or Objective.COLD] for kind in self.kinds]


def replay_in_turn(
    turns: Sequence[Turn],
    now: Callable[[], float],
    held: Callable[[], AbstractContextManager[None]],
) -> None:
    """Has the calls replayed, turn by turn; each runner's `look` then gives what they did.

    Args:
        turns: of runners that all differ.
        held: holds what would disturb the replays.

    Raises:
        RunnerLostError: when a runner fails.
    """
    for turn in turns:
        turn.runner.place(turn.input_sets)
    for turn in turns[:1]:
        turn.runner.await_placed()
    with held():
        for turn in turns:
            turn.runner.make(turn.poison, turn.flushes)
            turn.at_s = now()
    for turn in turns:
        # Of all, before one's outputs are wrong: what stays unread would answer another request.
        turn.runner.hear()


def paired_turns(
    kind: Objective,
    programs: tuple[ReplayedProgram, ReplayedProgram | None],
    input_sets: Sequence[InputSet],
    left: int,
    first: int,
    rng: random.Random,
) -> list[Turn]:
    """The same inputs through candidate and baseline in every pair, taking turns at being first.

    Args:
        left: calls that are still to be timed.
        first: number of the first pair.
    """
    ours, theirs = programs
    turns: list[Turn] = []
    for block in range(len(ours.runners)):
        some = input_sets[: max(left - block * len(input_sets), 0)]
        poison = poison_bytes(len(some), rng.randrange(256))
        pair = [ours, theirs] if (first + block) % 2 else [theirs, ours]
        turns += [
            Turn(program, block, some, [kind] * len(some), poison)
            for program in pair
            if program is not None and some
        ]
    return turns


def replayed_sets(checks: Checks) -> int:
    """How many inputs of a workload are replayed, where the interval takes long to be narrow."""
    beside = 1
    return beside + max(checks.pairs_per_block, -(-checks.max_pairs // checks.blocks))
