"""A runner that cannot start, or ends, is an error that says where."""

import sys

import pytest

from kernel_harness.tools.errors import HarnessError
from kernel_harness.tools.judge.replay import runner_process
from kernel_harness.tools.judge.replay.runner_process import RunnerLostError, RunnerProcess
from kernel_harness.tools.messages.runner import Batch, BatchDone

pytestmark = pytest.mark.process


@pytest.fixture
def without_driver(monkeypatch):
    found = RunnerProcess(0, {"CUDA_VISIBLE_DEVICES": "", "LD_LIBRARY_PATH": "/nonexistent"})
    yield found
    found.close()


def test_a_runner_without_a_device_says_why(without_driver):
    with pytest.raises(RunnerLostError, match=r"start.*(driver|CUDA)"):
        without_driver.ready()


def test_a_runner_that_has_ended_answers_nothing(without_driver):
    with pytest.raises(HarnessError):
        without_driver.ready()
    with pytest.raises(RunnerLostError):
        without_driver.ask(Batch(calls=1, with_call=False), BatchDone, 5.0)


def test_a_process_that_is_no_runner_is_lost(monkeypatch):
    monkeypatch.setattr(runner_process, "MODULE", "this")
    found = RunnerProcess(0, {"PATH": sys.prefix})
    with pytest.raises(RunnerLostError, match="start"):
        found.ready()
    found.close()
