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
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.evaluation.service import EvaluationService
from kernel_harness.tools.messages.judge import CallsRecorded, RecordCalls, SeededWorkload
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.signing.keyring import Keyring

from ...judging import make_solution


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


@pytest.fixture
def with_a_broken_device(tmp_path, scripted, monkeypatch):
    """Judges of all devices but cuda:1, which has fallen off its bus."""
    monkeypatch.setattr("kernel_harness.tools.distributed.device_lock.MACHINE", tmp_path)
    script = tmp_path / "judge"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *cuda:1*) echo begun >>{tmp_path}/starts; exit 1;; esac\n'
        f'exec {" ".join(scripted)} "$@"\n'
    )
    script.chmod(0o755)
    made = JudgePool(Settings(data_dir=tmp_path), [str(script)])
    yield made
    made.kill()


def evaluated(pool, operator, tmp_path, *choices):
    """What comes of evaluations that are asked for at once, and what is said of lost judges."""
    settings = Settings(data_dir=tmp_path)
    keys, records = Keyring(settings.signing_key, tmp_path), RecordStore(settings.evaluations_dir)
    service = EvaluationService(settings, pool, records, "cuda:1", keys, more=("cuda:0",))

    async def story():
        try:
            found = [service.evaluate(asked(operator, *choice), 60) for choice in choices]
            return [one.evaluation for one in await asyncio.gather(*found)], dict(pool.lost)
        finally:
            await pool.close()

    return asyncio.run(story())


def asked(operator, number, devices=()):
    """A request of its own."""
    source = f"def run(x, y): ...  # {number}\n"
    solution = make_solution(source, definition="double", name="slow")
    return EvaluationRequest(operator, solution, Scope.FULL, devices=devices)


def test_a_device_whose_judge_does_not_start_takes_no_evaluation_from_those_that_judge(
    with_a_broken_device, operator, tmp_path
):
    """It was free again at once each time, and so had most of what others waited to have judged."""
    pool = with_a_broken_device
    found, lost = evaluated(pool, operator, tmp_path, *((number,) for number in range(4)))
    assert [one.status for one in found] == [Status.PASSED] * 4
    assert (tmp_path / "starts").read_text() == "begun\n"
    assert list(lost) == ["cuda:1"] and "did not start" in lost["cuda:1"]


def test_what_names_a_device_that_is_broken_is_told_so(with_a_broken_device, operator, tmp_path):
    pool, broken = with_a_broken_device, ("cuda:1",)
    found, _ = evaluated(pool, operator, tmp_path, (0, broken), (1, broken))
    assert [one.status for one in found] == [Status.INFRASTRUCTURE_ERROR] * 2
    assert all("cuda:1 did not start" in str(one.failure) for one in found)


def test_a_broken_device_is_tried_again_later(
    with_a_broken_device, operator, tmp_path, monkeypatch
):
    pool = with_a_broken_device
    monkeypatch.setattr(judge_pool, "BROKEN_S", -1.0)
    found, lost = evaluated(pool, operator, tmp_path, (0,))
    assert found[0].status is Status.INFRASTRUCTURE_ERROR and lost == {}
    assert (tmp_path / "starts").read_text() == "begun\n" * 2
