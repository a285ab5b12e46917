"""Judges started ahead: at once when nobody minds, not at all beside another server's clock."""

import asyncio
import fcntl
import re
import subprocess
from pathlib import Path

import pytest

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.evaluation import judge_pool
from kernel_harness.tools.evaluation.judge_pool import JudgePool
from kernel_harness.tools.evaluation.judge_process import JUDGE_COMMAND
from kernel_harness.tools.messages.judge import CallsRecorded, RecordCalls, SeededWorkload
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.settings import Settings


@pytest.fixture
def pool(tmp_path, scripted, monkeypatch):
    monkeypatch.setattr("kernel_harness.tools.distributed.device_lock.MACHINE", tmp_path)
    made = JudgePool(Settings(data_dir=tmp_path), scripted)
    yield made
    made.kill()


def test_a_judge_imports_nothing_from_the_folder_that_it_is_started_in(tmp_path):
    """A client starts the server in a project's folder, where an agent writes what it likes."""
    for name in ("argparse", "json", "torch", "kernel_harness"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')\nraise SystemExit(7)\n")
    ran = subprocess.run([*JUDGE_COMMAND, "--help"], cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 0 and not (tmp_path / "imported").exists()


def test_no_process_of_the_harness_imports_from_the_folder_that_it_is_started_in():
    tools = Path(judge_pool.__file__).parents[1]
    for path in [*tools.rglob("*.py"), *(tools.parent / "server").rglob("*.py")]:
        for words in re.findall(r"sys\.executable,\s*(\S+)", path.read_text(encoding="utf-8")):
            assert words.startswith('"-P"'), path


def warmed(pool, device):
    async def warm():
        try:
            await pool.warm(device)
            return pool.ready(device)
        finally:
            await pool.close()

    return asyncio.run(warm())


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_judge_is_ready_before_the_first_trial(pool, device):
    assert warmed(pool, device) is not None


def test_no_judge_is_started_on_a_device_that_another_server_holds(pool, tmp_path):
    with (tmp_path / "kernel-harness-cuda0.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("7")
        held.flush()
        with pytest.raises(InfrastructureError, match="behind process 7"):
            warmed(pool, "cuda:0")
    assert pool.ready("cuda:0") is None


def test_an_answer_is_that_to_the_request_and_not_to_one_before(pool):
    request = RecordCalls(
        request_id="mine",
        definition={},
        operator_dir=None,
        solution={},
        content_hash="",
        workloads=[SeededWorkload(workload={}, seed=1)],
        folder="",
    )

    async def record():
        try:
            return await pool.ask("cuda:0", request, CallsRecorded, ignore_progress)
        finally:
            await pool.close()

    answer = asyncio.run(record())
    assert (answer.request_id, answer.calls[0].reason) == ("mine", "scripted")
