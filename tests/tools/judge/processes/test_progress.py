"""Progress that only grows, and a cancellation that no order of events escapes."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.judge.processes import progress
from kernel_harness.tools.judge.processes.progress import (
    Cancellation,
    Reporter,
    TrialCancelledError,
)
from kernel_harness.tools.messages.judge import Progress
from kernel_harness.tools.schema.evaluation import Stage


class Process:
    """A session as far as a cancellation needs one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.closed = 0
        self._error = error

    def close(self) -> None:
        self.closed += 1
        if self._error is not None:
            raise self._error


def watched(*processes: Process) -> Cancellation:
    cancellation = Cancellation()
    for process in processes:
        watched_one: Any = process
        cancellation.watch(watched_one)
    return cancellation


def test_nothing_is_ended_before_it_is_asked_for():
    process = Process()
    cancellation = watched(process)
    cancellation.check()
    assert not cancellation.requested and process.closed == 0


@pytest.mark.parametrize("error", [InfrastructureError("its zygote is gone"), OSError("no socket")])
def test_a_process_that_cannot_be_ended_does_not_spare_the_others(error):
    first, second = Process(error), Process()
    cancellation = watched(first, second)
    cancellation.cancel()
    assert first.closed == second.closed == 1
    with pytest.raises(TrialCancelledError):
        cancellation.check()


def test_a_process_that_starts_after_the_cancellation_is_ended_at_once():
    cancellation = watched()
    cancellation.cancel()
    late: Any = Process()
    cancellation.watch(late)
    assert late.closed == 1


def test_a_trial_that_is_overdue_is_cancelled_and_says_so():
    process = Process()
    cancellation = watched(process)
    with cancellation.due_in(0.02):
        while not cancellation.requested:
            time.sleep(0.01)
    assert cancellation.overdue and process.closed == 1


@pytest.mark.parametrize("seconds", [None, 30.0])
def test_one_that_ends_in_time_is_not_cancelled(seconds):
    cancellation = watched()
    with cancellation.due_in(seconds):
        cancellation.check()
    assert not cancellation.requested and not cancellation.overdue


def test_one_that_its_client_cancels_is_not_overdue():
    cancellation = watched()
    cancellation.cancel()
    assert cancellation.requested and not cancellation.overdue


def reporter() -> tuple[Reporter, list[Progress]]:
    sent: list[Progress] = []
    send: Any = sent.append
    return Reporter(send, "ev-1"), sent


def test_each_step_is_told_with_its_stage():
    reporting, sent = reporter()
    reporting.expect(3)
    reporting.step(Stage.COMPILE, "building")
    reporting.step(Stage.CORRECTNESS, "checking")
    assert [(p.stage, p.message, p.done, p.total) for p in sent] == [
        ("compile", "building", 1.0, 3.0),
        ("correctness", "checking", 2.0, 3.0),
    ]
    assert {p.evaluation_id for p in sent} == {"ev-1"}


def test_the_total_stays_ahead_of_what_is_done_however_few_steps_were_expected():
    reporting, sent = reporter()
    reporting.expect(1)
    for number in range(5):
        reporting.step(Stage.CORRECTNESS, f"case {number}")
    reporting.expect(2)
    reporting.step(Stage.TIMING, "timing")
    assert all(p.done < (p.total or 0) for p in sent)


def test_a_long_step_is_told_again_and_progress_grows_but_never_reaches_the_next(monkeypatch):
    monkeypatch.setattr(progress, "TICK_S", 0.0)
    sent: list[Progress] = []
    enough = threading.Event()

    def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 50:
            enough.set()

    reporting = Reporter(send, "ev-1")
    reporting.step(Stage.COMPILE, "building")
    with reporting.ticking():
        assert enough.wait(60)
    done = [p.done for p in sent]
    assert done == sorted(set(done)) and done[-1] < 2.0
    assert sent[1].message.startswith("building (") and sent[1].stage == "compile"


def test_the_thread_that_tells_ends_with_the_context(monkeypatch):
    monkeypatch.setattr(progress, "TICK_S", 0.0)
    reporting, _ = reporter()
    with reporting.ticking():
        assert any(t.name == "progress" for t in threading.enumerate())
    assert not any(t.name == "progress" for t in threading.enumerate())
