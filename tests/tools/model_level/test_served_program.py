"""A server's call of a program ends with the call, and all that the program started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.model_level.served_program import run_in_group

pytestmark = [pytest.mark.anyio, pytest.mark.process]
RUNNER = """
import os, subprocess, sys, time
assert sys.stdin.read() == ""
if sys.argv[1:] == ["wait"]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open("started", "w").write(f"{os.getpid()} {child.pid}")
    time.sleep(600)
print("x" * 5000, os.getcwd(), "the end")
sys.exit(len(sys.argv) - 1)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_python_without_the_harness_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="Install kernel-harness for that Python"):
        await run_in_group([sys.executable, "b.py"], "kernel_harness.not_there", [], tmp_path)


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "ran_in_group.py").write_text(RUNNER, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "ran_in_group"


def runs(pid: int) -> bool:
    """Whether a process is there and no corpse."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def written(path: Path) -> None:
    """Waits until a file says something."""
    while not path.is_file() or not path.stat().st_size:
        os.sched_yield()


async def test_a_failure_is_told_with_the_last_words(runner: str, tmp_path: Path) -> None:
    words = [sys.executable, "bench.py"]
    await run_in_group(words, runner, [], tmp_path)
    with pytest.raises(RequestError, match=f"status 3.*{tmp_path} the end") as told:
        await run_in_group(words, runner, ["a", "b", "c"], tmp_path)
    assert "Run it by itself" in str(told.value) and "Install" not in str(told.value)
    with pytest.raises(RequestError, match=f"came to nothing.*{tmp_path} the end"):
        await run_in_group(words, runner, ["a", "b"], tmp_path)
    assert len(str(told.value)) < 2_000


async def test_a_cancelled_call_ends_the_program_and_its_children(
    runner: str, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    async with anyio.create_task_group() as group:
        group.start_soon(run_in_group, [sys.executable, "bench.py"], runner, ["wait"], tmp_path)
        await anyio.to_thread.run_sync(written, started)
        group.cancel_scope.cancel()
    leader, child = map(int, started.read_text().split())
    while runs(child):  # the kernel's work goes on for a moment after the signal
        os.sched_yield()
    assert not runs(leader)
