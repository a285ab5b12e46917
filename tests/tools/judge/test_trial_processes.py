"""After a record is there nothing of the trial is left on the machine, whatever the trial did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kernel_harness.tools.schema.evaluation import Status

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
