"""The state that trials share: which process a trial gets, and what is ended when."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from kernel_harness.tools.judge import main as judge_main
from kernel_harness.tools.judge.processes import context as module
from kernel_harness.tools.judge.processes.candidate_process import ZygoteGoneError
from kernel_harness.tools.judge.processes.context import JudgeContext, spawn_options
from kernel_harness.tools.judge.processes.device import host_memory
from kernel_harness.tools.judge.processes.prewarmed import (
    CHECKED_AND_HELD_OUT,
    RECORDERS,
    RUNNERS,
    RUNNERS_OF_A_PAIR,
    SPARE,
)
from kernel_harness.tools.schema.evaluation import DeviceInfo, Executor

GPU, CPU = torch.device("cuda:1"), torch.device("cpu")


@dataclass(eq=False)
class Process:
    """A session as far as the context needs one."""

    granted: tuple[str, ...] = ("seccomp",)
    missing: tuple[str, ...] = ()
    prepared_on: list[int] = field(default_factory=list)
    scratch_library: str = ""
    closed: bool = False
    waited: int = 0
    polls: int = 0
    pid: int = field(default_factory=itertools.count(1).__next__)
    slow: ClassVar[int] = 0
    """How often it is not yet up when it is looked at."""

    def prepare(self, device_index: int, scratch_library: str = "") -> None:
        self.prepared_on.append(device_index)
        self.scratch_library = scratch_library

    def answered(self) -> bool:
        self.polls += 1
        return self.polls > self.slow

    def prepared(self) -> bool:
        self.waited += 1
        return True

    def close(self) -> None:
        self.closed = True


@dataclass(eq=False)
class Zygote:
    """A zygote handle without a process."""

    alive: bool = True
    closed: bool = False
    spawned: list[Process] = field(default_factory=list)
    spared: list[int] = field(default_factory=list)
    successor: Zygote | None = None

    def spawn(self, target: str = "") -> Process:
        if not self.alive:
            raise ZygoteGoneError("it was killed")
        self.spawned.append(Process())
        return self.spawned[-1]

    def paused(self, spared: list[int]) -> None:
        self.spared = spared

    def another(self) -> Zygote:
        self.closed = True
        self.successor = Zygote()
        return self.successor

    def close(self) -> None:
        self.closed = True


def opened(
    device: torch.device = CPU, zygote: Zygote | None = None, *, memory: int = 0, **options: Any
) -> tuple[JudgeContext, Zygote]:
    zygote = zygote or Zygote()
    running: Any = zygote
    executor = Executor.CUDA if device.type == "cuda" else Executor.INTERPRETER
    info = DeviceInfo(name="a device", executor=executor, memory_bytes=memory)
    return JudgeContext(device, Path("/nowhere"), running, info, versions={}, **options), zygote


def test_without_a_gpu_nothing_is_prewarmed_and_no_context_is_made():
    context, zygote = opened(CPU, memory=1 << 40)
    context.prewarmed.fill()
    assert zygote.spawned == []
    context.spawn()
    assert context.interpreted and zygote.spawned[0].prepared_on == []


def test_a_prewarmed_process_is_taken_before_one_is_started():
    context, zygote = opened(GPU, memory=1 << 40)
    context.prewarmed.fill()
    count = len(zygote.spawned)
    taken: Any = [context.spawn() for _ in range(count)]
    assert count > 0 and taken == zygote.spawned[:count]
    context.spawn()
    assert len(zygote.spawned) == count + 1
    assert all(process.prepared_on == [1] for process in zygote.spawned)


def test_a_zygote_that_was_killed_is_started_again_and_its_prewarmed_processes_end():
    context, zygote = opened(GPU, memory=1 << 40)
    context.prewarmed.fill()
    zygote.alive = False
    while context.prewarmed.first is not None:
        context.spawn()
    session: Any = context.spawn()
    assert zygote.closed and context.running is zygote.successor
    assert zygote.successor is not None and session is zygote.successor.spawned[0]


@pytest.fixture
def runners(monkeypatch) -> list[Process]:
    """Runners that were started."""
    made: list[Process] = []

    def start(*_: Any) -> Process:
        made.append(Process())
        return made[-1]

    monkeypatch.setattr(module, "RunnerProcess", start)
    monkeypatch.setattr(module, "private_folder", lambda: Path("/nowhere"))
    return made


@pytest.fixture(autouse=True)
def processors(monkeypatch):
    """Says how many processors the judge may use; enough for all unless a test says otherwise."""

    def may_use(count: int) -> None:
        monkeypatch.setattr(module.os, "sched_getaffinity", lambda process: set(range(count)))

    may_use(16)
    return may_use


SEALED: dict[str, Any] = {"not_sealed": None, "scratch_library": "bGli"}


def test_what_seals_times_is_prewarmed_only_where_they_can_be_and_were_asked_for(runners):
    context, zygote = opened(GPU, memory=1 << 40)
    context.prewarm()
    assert runners == [] and not any(p.scratch_library for p in zygote.spawned)

    context, zygote = opened(GPU, memory=1 << 40, sealed_lately=False, **SEALED)
    context.prewarm()
    assert runners == [] and not any(p.scratch_library for p in zygote.spawned)
    context.sealed_lately = True
    context.prewarm()
    assert len(runners) == RUNNERS
    assert sum(p.scratch_library == "bGli" for p in zygote.spawned) == RECORDERS
    context.end_prewarmed()
    assert all(process.closed for process in (*runners, *zygote.spawned))


class Kept:
    """Three runners that were given something in a trial before."""

    runner_count = 3
    closed = False

    def close(self) -> None:
        self.closed = True


def test_what_is_kept_of_a_baseline_is_not_prewarmed_and_ends_with_what_is(runners, monkeypatch):
    context, zygote = opened(GPU, memory=1 << 40, **SEALED)
    context.kept_baseline = kept = Kept()
    entered: list[str] = []
    monkeypatch.setattr(context.race_kernels, "enter", entered.append)
    context.prewarm()
    assert len(runners) == RUNNERS - 3
    assert sum(p.scratch_library == "bGli" for p in zygote.spawned) == 1
    context.end_prewarmed()
    assert kept.closed and entered == [""], "no race goes on"


def test_no_more_is_prewarmed_than_a_judge_has_processors(runners, processors):
    processors(3)
    context, _ = opened(GPU, memory=1 << 40, **SEALED)
    context.prewarm()
    assert len(runners) == 3


def test_only_a_process_that_records_gets_the_allocator(runners):
    context, zygote = opened(GPU, **SEALED)
    context.spawn_recorder()
    context.spawn()
    assert [p.scratch_library for p in zygote.spawned] == ["bGli", ""]


def test_a_prewarmed_runner_is_taken_before_one_is_started(runners):
    context, _ = opened(GPU, memory=1 << 40, **SEALED)
    context.prewarm()
    taken: Any = [context.start_runner() for _ in range(RUNNERS)]
    assert taken == runners
    context.start_runner()
    assert len(runners) == RUNNERS + 1


def test_a_zygote_that_dies_twice_is_the_harness_fault(monkeypatch):
    monkeypatch.setattr(Zygote, "another", lambda self: Zygote(alive=False))
    context, _ = opened(zygote=Zygote(alive=False))
    with pytest.raises(ZygoteGoneError):
        context.spawn()


def test_isolation_is_that_of_a_prewarmed_process_which_stays():
    context, zygote = opened(GPU, memory=1 << 40)
    context.prewarmed.fill()
    count = len(zygote.spawned)
    assert context.probe().granted == ["seccomp"]
    assert len(zygote.spawned) == count and not zygote.spawned[0].closed


def test_isolation_is_asked_of_a_process_made_for_it_where_none_is_prewarmed():
    context, zygote = opened()
    assert context.probe().level == "strong"
    assert [process.closed for process in zygote.spawned] == [True]


@pytest.fixture
def compilers(monkeypatch) -> list[Zygote]:
    """Zygotes started for compiling."""
    made: list[Zygote] = []

    def start(options: Any, *, interpret: bool) -> Zygote:
        assert not interpret
        made.append(Zygote())
        return made[-1]

    monkeypatch.setattr(module, "ZygoteHandle", start)
    return made


def test_what_is_only_compiled_has_a_zygote_of_its_own_started_once(compilers):
    context, zygote = opened()
    context.start_compiler()
    context.start_compiler()
    context.spawn_compiler("sm_100")
    assert len(compilers) == 1 and len(compilers[0].spawned) == 1 and zygote.spawned == []
    context.close()
    assert compilers[0].closed and zygote.closed


def test_a_compiling_zygote_that_was_killed_is_started_again(compilers):
    context, _ = opened()
    context.start_compiler()
    compilers[0].alive = False
    context.start_compiler()
    assert len(compilers) == 2


def test_on_a_gpu_one_zygote_runs_and_compiles(compilers):
    context, zygote = opened(GPU)
    context.start_compiler()
    context.spawn_compiler("sm_100")
    assert compilers == [] and len(zygote.spawned) == 1


def test_who_is_in_a_hurry_leaves_processes_to_end_by_themselves():
    context, _ = opened()
    may_end = threading.Event()
    context.end_later(may_end.wait)  # pyright: ignore[reportArgumentType]
    context.drain(lambda: True)
    assert context.ending, "it has not ended"
    may_end.set()
    context.drain()
    assert not context.ending


def test_a_judge_ends_only_after_the_processes_of_its_trials():
    context, zygote = opened()
    may_end, order = threading.Event(), []

    def end() -> None:
        may_end.wait(60)
        order.append(zygote.closed)

    context.end_later(end)
    assert order == []
    may_end.set()
    context.close()
    assert order == [False] and zygote.closed and context.ending == []


def test_only_without_a_gpu_is_host_memory_limited_and_not_to_all_of_it():
    assert spawn_options(GPU, Path("/c")).memory_bytes is None
    limited = spawn_options(CPU, Path("/c"))
    assert not limited.cuda and limited.memory_bytes is not None
    assert 0 < limited.memory_bytes < host_memory()


def test_what_waits_for_the_device_does_not_wait_for_contexts(runners, monkeypatch):
    monkeypatch.setattr(Process, "slow", 10)
    context, zygote = opened(GPU, memory=1 << 40, **SEALED)
    context.prewarm(lambda: True)
    waiting = CHECKED_AND_HELD_OUT + SPARE + RECORDERS
    assert runners == [] and len(zygote.spawned) == waiting
    assert not any(p.waited for p in zygote.spawned)
    session: Any = context.spawn(wait=False)
    assert session is zygote.spawned[0] and not session.waited
    context.begin_runners(4)
    context.begin_runners(4)
    assert len(runners) == 4 and context.start_runner() is runners[0]


def test_a_wrong_candidate_leaves_another_for_a_trial_that_waits(runners, monkeypatch):
    context, zygote = opened(GPU, memory=1 << 40, **SEALED)
    context.prewarm()
    count = len(zygote.spawned)
    monkeypatch.setattr(Process, "slow", 10)
    taken: Any = context.spawn()
    context.prewarm(lambda: True)
    assert taken is zygote.spawned[0] and len(zygote.spawned) == count + 1
    assert zygote.spawned[count].waited == 0, "it makes its context while the next is judged"
    assert len(runners) == RUNNERS, "nobody took one"


def test_where_trials_follow_one_another_the_next_ones_processes_start_during_this_one(runners):
    context, zygote = opened(GPU, memory=1 << 40, **SEALED)
    context.kept_baseline = kept = Kept()
    context.prewarm()
    count = len(zygote.spawned)
    context.spawn()
    context.begin_next()
    assert (len(zygote.spawned), len(runners)) == (count, 3), "there is time for it later"
    context.without_pause = True
    context.begin_next()
    context.kept_baseline = None  # it is the trial's, which gives it back
    context.spawn()
    context.spawn_recorder()
    of_this_trial: Any = [context.start_runner() for _ in range(3)]
    assert (len(zygote.spawned), len(runners)) == (count + 2, 6)
    context.kept_baseline = kept
    context.prewarm(lambda: True)
    assert of_this_trial == runners[:3]
    assert (len(zygote.spawned), len(runners)) == (count + 3, 6), "but for one nothing is left"
    context.spawn()
    context.begin_next()
    with context.contexts_held():
        assert len(runners) == 9
    context.prewarm()
    assert all(p.waited for p in (*zygote.spawned[1:], *runners[3:]))


def test_as_many_processes_wait_after_a_trial_however_it_came_and_ended(runners):
    """A test counts them to find what a trial left."""
    context, _ = opened(GPU, memory=1 << 40, **SEALED)
    context.prewarm()
    pools = (context.prewarmed, context.recorders, context.runners)
    waiting = [len(pool.pids) for pool in pools]
    for without_pause in (True, False):
        context.without_pause = without_pause
        for takes_more in (True, False):
            context.spawn()
            context.begin_next()
            if takes_more:
                context.spawn_recorder()
                context.start_runner()
            context.prewarm()
            assert [len(pool.pids) for pool in pools] == waiting


@pytest.mark.parametrize("what", ["a runner", "a thread"])
def test_a_trial_goes_on_where_nothing_can_be_started_for_the_next(runners, monkeypatch, what):
    context, zygote = opened(GPU, memory=1 << 40, without_pause=True, **SEALED)

    def refused(*arguments: Any, **options: Any) -> None:
        raise OSError("too many open files") if what == "a runner" else RuntimeError("no thread")

    with monkeypatch.context() as patched:
        if what == "a runner":
            patched.setattr(module, "RunnerProcess", refused)
        else:
            patched.setattr(threading.Thread, "start", refused)
        context.begin_next()
    context.begin_next()
    with context.contexts_held():
        assert zygote.spawned and runners, "the trial after that finds them"
    context.close()


def test_where_there_are_few_processors_the_next_trial_waits_for_its_own(runners, processors):
    processors(4)
    context, zygote = opened(GPU, memory=1 << 40, without_pause=True, **SEALED)
    context.begin_next()
    assert zygote.spawned == runners == []


def test_only_what_still_makes_its_context_is_held_while_calls_are_replayed(runners, monkeypatch):
    sent: list[tuple[int, signal.Signals]] = []
    monkeypatch.setattr(module.os, "kill", lambda pid, number: sent.append((pid, number)))
    context, zygote = opened(GPU, memory=1 << 40, **SEALED)
    context.prewarm()
    with context.contexts_held():
        assert sent == []
    late = [zygote.spawned[-1].pid, runners[0].pid]
    zygote.spawned[-1].polls = runners[0].polls = -10
    monkeypatch.setattr(Process, "slow", 2)
    for ready in (*zygote.spawned[:-1], *runners[1:]):
        ready.polls = 10
    with pytest.raises(KeyError), context.contexts_held():
        assert sent == [(pid, signal.SIGSTOP) for pid in late]
        raise KeyError
    assert sent[2:] == [(pid, signal.SIGCONT) for pid in late], "they go on whatever happened"


def test_what_is_yet_to_be_started_for_the_next_trial_is_held_too(runners, monkeypatch):
    sent: list[int] = []
    monkeypatch.setattr(module.os, "kill", lambda pid, number: sent.append(pid))
    context, zygote = opened(GPU, memory=1 << 40, without_pause=True, **SEALED)
    forked = zygote.spawn

    def late(*arguments: Any) -> Any:
        time.sleep(0.05)
        return forked(*arguments)

    monkeypatch.setattr(zygote, "spawn", late)
    monkeypatch.setattr(Process, "slow", 10)
    context.begin_next()
    with context.contexts_held():
        assert zygote.spawned and set(sent) == {p.pid for p in (*zygote.spawned, *runners)}


def test_processes_that_wait_for_a_trial_are_not_stopped_with_candidates(runners):
    context, zygote = opened(GPU, memory=1 << 40, **SEALED)
    context.prewarm()
    taken: Any = context.spawn()
    context.paused()
    assert taken.pid not in zygote.spared
    assert set(zygote.spared) == {process.pid for process in zygote.spawned[1:]}


def test_a_zygote_that_dies_meanwhile_is_started_again_by_the_main_thread_alone(runners):
    context, zygote = opened(GPU, memory=1 << 40, without_pause=True, **SEALED)
    zygote.alive = False
    context.begin_next()
    with context.contexts_held():
        pass
    assert zygote.successor is None and context.running is zygote
    context.prewarm()
    assert zygote.successor is not None and zygote.successor.spawned


def test_a_judge_waits_for_no_context_before_it_is_ready(runners, monkeypatch):
    monkeypatch.setattr(Process, "slow", 2)
    context, zygote = opened(GPU, memory=1 << 40, **SEALED)
    context.begin()
    assert runners == [] and len(zygote.spawned) == 1
    context.begin_others()
    assert len(runners) == RUNNERS_OF_A_PAIR
    assert len(zygote.spawned) == CHECKED_AND_HELD_OUT + RECORDERS
    assert not any(process.waited for process in (*runners, *zygote.spawned))


def test_the_judge_makes_its_own_context_before_it_asks_for_others(runners, monkeypatch):
    told: list[int] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: told.append(len(runners)))
    context, _ = opened(GPU, memory=1 << 40, **SEALED)
    judge_main._begin_others(context)
    assert told == [0] and runners
    opened(CPU)[0].begin_own()
    assert told == [0]
