"""Prewarmed processes: taken once, oldest first, and only while they live."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.judge.processes.prewarmed import (
    CONTEXT_BYTES,
    MAX_PREWARMED,
    SHARE,
    PrewarmedPool,
    prewarm_count,
)


@dataclass(eq=False)
class Process:
    """A session as far as the pool needs one."""

    comes_up: bool = True
    gone: bool = False
    asked: int = 0
    closed: bool = False
    polls_until_up: int = 0
    pid: int = 0

    def answered(self) -> bool:
        self.polls_until_up -= 1
        return self.polls_until_up < 0

    def prepared(self) -> bool:
        self.asked += 1
        if self.gone:
            raise InfrastructureError("its zygote is gone")
        return self.comes_up

    def close(self) -> None:
        self.closed = True
        if self.gone:
            raise InfrastructureError("its zygote is gone")


@dataclass
class Spawner:
    """Makes processes and remembers them."""

    fate: list[Process] = field(default_factory=list)
    made: list[Process] = field(default_factory=list)

    def __call__(self) -> Any:
        self.made.append(self.fate.pop(0) if self.fate else Process())
        return self.made[-1]


def test_a_prewarmed_process_is_taken_once_and_the_oldest_first():
    spawner = Spawner()
    pool = PrewarmedPool(2, spawner)
    pool.fill()
    assert pool.first is spawner.made[0]
    assert [pool.take(), pool.take(), pool.take()] == [*spawner.made, None]


def test_it_is_filled_to_what_is_missing():
    spawner = Spawner()
    pool = PrewarmedPool(3, spawner)
    pool.fill()
    pool.take()
    pool.fill()
    assert len(spawner.made) == 4


@pytest.mark.parametrize("fate", [Process(comes_up=False), Process(gone=True)])
def test_one_that_was_lost_is_passed_over(fate):
    spawner = Spawner()
    pool = PrewarmedPool(2, spawner)
    pool.fill()
    spawner.made[0].comes_up, spawner.made[0].gone = fate.comes_up, fate.gone
    assert pool.take() is spawner.made[1]
    assert spawner.made[0].closed == (not fate.gone)


def test_one_that_does_not_come_up_is_not_kept():
    spawner = Spawner(fate=[Process(comes_up=False)])
    pool = PrewarmedPool(2, spawner)
    pool.fill()
    assert pool.first is spawner.made[1] and spawner.made[0].closed
    assert pool.take() is spawner.made[1]
    assert pool.take() is None


def test_it_waits_for_every_context_unless_it_is_hurried():
    spawner = Spawner(fate=[Process(polls_until_up=2), Process(polls_until_up=10)])
    pool = PrewarmedPool(2, spawner)
    pool.begin()
    calls: list[int] = []

    def hurried() -> bool:
        calls.append(1)
        return len(calls) == 4

    pool.wait_for_contexts(hurried)
    assert [process.asked for process in spawner.made] == [1, 0]
    pool.wait_for_contexts()
    assert [process.asked for process in spawner.made] == [2, 1]


def test_one_that_still_makes_its_context_is_taken_by_who_does_not_wait():
    spawner = Spawner(fate=[Process(polls_until_up=5), Process(gone=True), Process()])
    pool = PrewarmedPool(3, spawner)
    pool.begin()
    assert pool.take(wait=False) is spawner.made[0] and spawner.made[0].asked == 0
    assert pool.take(wait=False) is spawner.made[2], "one that is gone is passed over"


def test_closing_ends_them_all_even_where_the_zygote_is_gone():
    spawner = Spawner()
    pool = PrewarmedPool(2, spawner)
    pool.fill()
    spawner.made[0].gone = True
    pool.close()
    assert all(process.closed for process in spawner.made) and pool.first is None


def test_a_small_device_gets_few_or_none():
    assert prewarm_count(0, 64) == 0
    assert prewarm_count(int(CONTEXT_BYTES / SHARE) + 1, 64) == 1
    assert prewarm_count(1 << 50, 64) == MAX_PREWARMED
    assert prewarm_count(1 << 50, 4) == 4 and prewarm_count(1 << 50, 1) == 2


def test_ids_are_told_while_another_thread_starts_a_process():
    pool: PrewarmedPool[Any]

    class Starting:
        """While its id is read another thread adds a process."""

        @property
        def pid(self) -> int:
            pool.begin(2)
            return 7

    starting: Any = Starting()
    pool = PrewarmedPool(2, Spawner([starting]))
    pool.begin(1)
    assert pool.pids == [7]
