"""A profiled run is a process of the candidate's: bounded, cut off, and gone when it is over."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import anyio
import pytest

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.messages.profiler import ReplayRun, read_message
from kernel_harness.tools.profiling.runs.run_files import RecordedWorkload, WorkloadInputs
from kernel_harness.tools.profiling.runs.tool_run import Finished, ProfileRunner, ReplayResult
from kernel_harness.tools.profiling.timeline.chrome_trace import read_timeline

from ..conftest import subject_of
from ..profiles import recorded_call

pytestmark = pytest.mark.anyio
FAILED_REPLAY = 3

TELL = """
import json, os
facts = {"uid": os.getuid(), "environment": dict(os.environ), "folder": os.getcwd()}
facts["no_new_privs"] = "NoNewPrivs:\\t1" in open("/proc/self/status").read()
print(json.dumps(facts))
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def alone(folder: Path, target) -> list[str]:
    return list(target)


def ends(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process of another parent ends, or is dead and only not yet collected."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if "zombie" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.process
async def test_a_candidate_is_built_loaded_warmed_up_and_called_once(subject, workload):
    async with ProfileRunner("cpu").run(
        subject, workload, "timeline", alone, timeout_s=100
    ) as result:
        assert result.answer is not None, result.finished.output
        assert (result.answer.stage, result.failure) == ("done", None)
        assert len(result.answer.host_us) == 10
        assert result.trace is not None
        text = result.trace.read_text()
        assert result.outcome is not None
        assert "no_new_privs" in result.outcome.granted
        assert "seccomp" in result.outcome.missing
    timeline = read_timeline(text, uuid="w", axes={}, host_us=result.answer.host_us)
    assert timeline.kernels == 0
    assert not result.folder.exists()


@pytest.mark.process
@pytest.mark.parametrize(
    ("source", "stage", "words"),
    [
        pytest.param(
            "def run(x, factor, y)\n    pass\n", "build", "expected ':'", marks=pytest.mark.long
        ),
        ("def run(x, factor, y):\n    raise ValueError(f'no {factor}')\n", "warm_up", "no 2.0"),
    ],
)
async def test_a_candidates_fault_is_reported_with_its_stage(
    workload, source, stage, words, warm_python, monkeypatch
):
    monkeypatch.setattr(sys, "executable", warm_python)
    subject = subject_of(source)
    async with ProfileRunner("cpu").run(
        subject, workload, "counters", alone, timeout_s=100
    ) as result:
        assert result.failure is not None, result.finished.output
        assert result.failure.startswith(f"{stage}: ")
        assert words in result.failure


async def test_the_profiler_has_the_candidates_account_and_environment(
    subject, workload, monkeypatch
):
    monkeypatch.setenv("SECRET_KEY", "hush")

    def tell(folder: Path, target) -> list[str]:
        return [sys.executable, "-c", TELL]

    async with ProfileRunner("cpu").run(
        subject, workload, "counters", tell, timeout_s=60
    ) as result:
        facts = json.loads(result.finished.output.strip().splitlines()[-1])
        assert facts["no_new_privs"]
        assert facts["folder"] == str(result.folder)
        assert "SECRET_KEY" not in facts["environment"]
        assert facts["environment"]["TMPDIR"].startswith(str(result.folder))
        assert result.outcome is not None
        changed = "uid" in result.outcome.granted
        assert (facts["uid"] != os.getuid()) is changed


async def test_a_run_that_hangs_is_killed_with_all_that_it_started(subject, workload):
    def hang(folder: Path, target) -> list[str]:
        return ["/bin/sh", "-c", "sleep 99 & echo $!; sleep 99"]

    async with ProfileRunner("cpu").run(
        subject, workload, "counters", hang, timeout_s=1.5
    ) as result:
        assert result.finished.timed_out
        child = int(result.finished.output.split()[0])
    assert ends(child)


async def test_a_process_that_leaves_its_session_is_ended_with_the_run(subject, workload):
    def leave(folder: Path, target) -> list[str]:
        return ["/bin/sh", "-c", "setsid sleep 99 >/dev/null 2>&1 & echo $!; exit 4"]

    async with ProfileRunner("cpu").run(
        subject, workload, "counters", leave, timeout_s=60
    ) as result:
        assert (result.finished.status, result.finished.timed_out) == (4, False)
        assert ends(int(result.finished.output.split()[0]))


async def test_cancelling_the_caller_kills_the_run(subject, workload):
    runs, folders = ProfileRunner("cpu"), []

    def hang(folder: Path, target) -> list[str]:
        folders.append(folder)
        return ["/bin/sleep", "99"]

    with anyio.move_on_after(1.5) as scope:
        async with runs.run(subject, workload, "counters", hang, timeout_s=90):
            pass
    assert scope.cancelled_caught
    assert not folders[0].exists()
    assert not runs._leaders


async def test_what_a_candidate_prints_without_end_is_cut(subject, workload):
    def shout(folder: Path, target) -> list[str]:
        return ["/bin/sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x"]

    async with ProfileRunner("cpu").run(
        subject, workload, "counters", shout, timeout_s=60
    ) as result:
        assert len(result.finished.output) == 8 << 20


async def test_an_answer_that_is_a_link_is_not_followed(subject, workload):
    def link(folder: Path, target) -> list[str]:
        return ["/bin/ln", "-s", "/etc/hostname", str(folder / "answer.json")]

    async with ProfileRunner("cpu").run(
        subject, workload, "counters", link, timeout_s=60
    ) as result:
        assert result.answer is None


@pytest.mark.process
async def test_a_replay_is_a_process_of_its_own_that_says_what_it_lacks(tmp_path):
    file = recorded_call(tmp_path, 0)
    workload = RecordedWorkload("w", {}, file, read_message(ReplayRun, file))
    async with ProfileRunner("cuda:0").replay_all([workload], alone, timeout_s=60) as result:
        assert result.outcome is not None and "no_new_privs" in result.outcome.granted
        # There is no driver here, or none that loads a cubin without code.
        assert result.answers[0] is not None, result.finished.output
        assert "Error: " in (result.failure or "")
        assert result.finished.status == FAILED_REPLAY
    assert not result.folder.exists()


async def test_missing_inputs_are_a_fault_of_ours(subject, tmp_path):
    workload = WorkloadInputs("w", {"n": 4}, tmp_path / "none")
    with pytest.raises(InfrastructureError, match="could not be placed"):
        async with ProfileRunner("cpu").run(subject, workload, "counters", alone, timeout_s=5):
            pass


def test_a_replay_that_ends_without_an_answer_tells_its_last_words(tmp_path):
    words = "\n".join(["start", *["Traceback"] * 200, "OSError: no such file"])
    ended = Finished(status=1, output=words, timed_out=False, seconds=0.5)
    failure = ReplayResult(tmp_path, ended, (None,), None).failure or ""
    assert "status 1" in failure and failure.endswith("no such file") and len(failure) < 800
