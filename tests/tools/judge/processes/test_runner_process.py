"""A runner that cannot start, or ends, is an error that says where."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kernel_harness.tools.errors import HarnessError
from kernel_harness.tools.judge.processes import runner_process
from kernel_harness.tools.judge.processes.runner_process import (
    RunnerLostError,
    RunnerProcess,
    environment_of,
)
from kernel_harness.tools.messages.runner import Batch, BatchDone

pytestmark = pytest.mark.process


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        home = Path(made, "runner")
        home.mkdir(mode=0o700)
        yield home


@pytest.fixture
def without_driver(folder):
    environment = {"CUDA_VISIBLE_DEVICES": "", "LD_LIBRARY_PATH": "/nonexistent"}
    found = RunnerProcess(0, environment, folder)
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


def test_a_process_that_is_no_runner_is_lost(monkeypatch, folder):
    monkeypatch.setattr(runner_process, "MODULE", "this")
    found = RunnerProcess(0, {"PATH": sys.prefix}, folder)
    with pytest.raises(RunnerLostError, match="start"):
        found.ready()
    found.close()


def test_a_runner_gets_no_secret_of_the_judge():
    given = environment_of({"PATH": "/bin", "API_KEY": "s", "HOME": "/root"}, Path("/home"))
    assert given["PATH"] == "/bin" and given["HOME"] == "/home"
    assert "API_KEY" not in given


def test_a_runner_has_the_drivers_own_settings():
    """Fewer connections put kernels of several streams in line; code is loaded before it runs."""
    set_by_others = {"CUDA_DEVICE_MAX_CONNECTIONS": "1", "CUDA_LAUNCH_BLOCKING": "1"}
    given = environment_of({**set_by_others, "CUDA_MODULE_LOADING": "LAZY"}, Path("/home"))
    assert not set_by_others.keys() & given.keys()
    assert given["CUDA_MODULE_LOADING"] == "EAGER" and given["CUDA_CACHE_DISABLE"] == "1"


@pytest.fixture
def waiting(monkeypatch, folder):
    """A module that stands in for the runner: it tells its status and waits."""
    place = folder.parent / "site-packages"
    place.mkdir(mode=0o755)
    (place / "tests_waiting_runner.py").write_text(WAITING)
    monkeypatch.setattr(runner_process, "MODULE", "tests_waiting_runner")
    return {**os.environ, "PYTHONPATH": str(place)}  # noqa: TID251


def test_a_runner_that_is_asked_before_it_is_up_is_waited_for(waiting, folder):
    (folder.parent / "site-packages" / "tests_waiting_runner.py").write_text(SLOW)
    found = RunnerProcess(0, waiting, folder)
    assert found.ask(Batch(calls=1, with_call=False), BatchDone, 5.0).enqueue_ns == 7
    assert found.ask(Batch(calls=1, with_call=False), BatchDone, 5.0).enqueue_ns == 7
    found.close()


def test_a_runner_is_confined_as_a_candidate_is(waiting, folder):
    found = RunnerProcess(0, waiting, folder)
    facts = dict(
        line.split(":", 1) for line in found._socket.recv(65_536).decode().splitlines() if line
    )
    found.close()  # it waits for no word of its judge
    assert found._process.returncode == -signal.SIGKILL
    assert facts["NoNewPrivs"].strip() == "1"
    assert int(facts["CapEff"], 16) == 0
    if os.geteuid() == 0:
        assert "0" not in facts["Uid"].split()
        assert int(facts["CapBnd"], 16) == 0


def test_a_runner_ends_with_the_process_that_started_it(waiting, folder):
    """It is killed: a runner that hangs would not notice the end of its socket."""
    script = (
        "import sys, os\n"
        "from pathlib import Path\n"
        "from kernel_harness.tools.judge.processes import runner_process as r\n"
        "r.MODULE = 'tests_waiting_runner'\n"
        "found = r.RunnerProcess(0, dict(os.environ), Path(sys.argv[1]))\n"
        "found._socket.recv(65536)\n"
        "print(found._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    ran = subprocess.run(command, env=waiting, capture_output=True, text=True, timeout=60)
    pid = int(ran.stdout or f"0 {ran.stderr}")
    deadline = time.monotonic() + 30
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(pid)


def test_a_runner_that_is_stopped_as_it_begins_ends_with_the_process_that_started_it(
    waiting, folder
):
    """Processes of the next trial are stopped while calls are replayed, and notice no socket."""
    place = folder.parent / "site-packages" / "tests_waiting_runner.py"
    begun = folder / "begun"
    place.write_text(f"import os, time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(60)\n")
    script = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from kernel_harness.tools.judge.processes import runner_process as r\n"
        "r.MODULE = 'tests_waiting_runner'\n"
        "found = r.RunnerProcess(0, dict(os.environ), Path(sys.argv[1]))\n"
        "while not Path(sys.argv[2]).exists():\n"
        "    time.sleep(0.01)\n"
        "os.kill(found.pid, signal.SIGSTOP)\n"
        "Path(sys.argv[2]).write_text(str(found.pid))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", script, str(folder), str(begun)]
    subprocess.run(command, env=waiting, timeout=60, check=False)
    pid = int(begun.read_text())
    deadline = time.monotonic() + 5
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = running(pid)
    if left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


WAITING = """
import os, sys, time

def main():
    with open("/proc/self/status") as status:
        os.write(int(sys.argv[-1]), status.read().encode())
    time.sleep(600)
"""

SLOW = """
import socket, sys, time
from kernel_harness.tools.messages.frames import TRUSTED_FRAME_BYTES
from kernel_harness.tools.messages.runner import BatchDone, RunnerReady, to_runner
from kernel_harness.tools.messages.sockets import recv_frame, send_frame

def main():
    judge = socket.socket(fileno=int(sys.argv[-1]))
    time.sleep(0.2)
    send_frame(judge, RunnerReady())
    while recv_frame(judge, to_runner, TRUSTED_FRAME_BYTES):
        send_frame(judge, BatchDone(enqueue_ns=7))
"""
