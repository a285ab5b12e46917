"""After a record is there nothing of the trial is left on the machine, whatever the trial did."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.judge.processes.progress import Cancellation
from kernel_harness.tools.judge.trial_processes import TrialProcesses
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.flashinfer_trace import Definition

from ...judging import JudgeProcess, make_plan, make_solution
from ...leaks import LEAKS, MARK, left_behind, settled, standing


def evaluate(judge: JudgeProcess, source: str):
    return judge.evaluate_and_rest(make_plan(make_solution(source, definition="affine_n64")))


@pytest.mark.process
@pytest.mark.parametrize("leak", sorted(LEAKS))
def test_nothing_of_a_trial_is_left(leak, judge, tmp_path_factory):
    cache = Path(tmp_path_factory.getbasetemp())
    pid = judge.process.pid
    before = standing(pid)
    found = evaluate(judge, LEAKS[leak])
    assert found.status in (Status.PASSED, Status.RUNTIME_ERROR), found.failure
    assert settled(pid, cache, before) == set()


class Session:
    """A process that goes when it was asked to; `close` waits for that."""

    def __init__(self) -> None:
        self.asked, self.closed = threading.Event(), False

    def ask_to_exit(self) -> None:
        self.asked.set()

    def close(self) -> None:
        assert self.asked.wait(10)
        self.closed = True


def test_processes_of_a_trial_end_side_by_side_each_whatever_becomes_of_others():
    sessions = [Session() for _ in range(3)]
    spawned: Any = iter(sessions)
    context: Any = SimpleNamespace(spawn=lambda *_, **__: next(spawned))
    solution = make_solution("pass", definition="affine_n64")
    plan = make_plan(solution)
    definition = Definition.model_validate(plan.definition)
    processes = TrialProcesses(plan, context, definition, solution, Cancellation())
    for _ in sessions:
        processes.spawn()
    together, ended = threading.Barrier(2), []

    def end() -> None:
        assert all(session.asked.is_set() for session in sessions)
        together.wait(10)
        ended.append(not any(session.closed for session in sessions))

    def fail() -> None:
        raise OSError("a folder that cannot be removed")

    processes.end_with(end, fail, end)
    processes.close()
    assert ended == [True, True] and all(session.closed for session in sessions)


def test_a_look_at_the_machine_sees_what_is_left(tmp_path):
    waiting = "import sys; print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", waiting, MARK]
    left = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert left.stdout is not None and left.stdout.readline()
    (tmp_path / f"a-{MARK}").mkdir()
    try:
        found = left_behind(left.pid, tmp_path)
    finally:
        left.kill()
        left.wait()
    assert any(str(left.pid) in words for words in found)
    assert any(str(tmp_path) in words for words in found)


@pytest.mark.parametrize(("race", "kept"), [("r", 1), ("", 0)])
def test_only_a_run_of_a_race_leaves_what_its_first_process_compiled(race, kept):
    session: Any = Session()
    session.triton_cache = Path("compiled")
    calls: list[tuple[Any, ...]] = []
    kernels = SimpleNamespace(keep=lambda *given: calls.append(given))
    context: Any = SimpleNamespace(spawn=lambda *_, **__: session, race_kernels=kernels)
    solution = make_solution("pass", definition="affine_n64")
    plan = make_plan(solution).model_copy(update={"race": race})
    definition = Definition.model_validate(plan.definition)
    processes = TrialProcesses(plan, context, definition, solution, Cancellation())
    processes.spawn()
    processes.close()
    assert calls == [("r", plan.content_hash, Path("compiled"))] * kept
