"""After a trial the judge makes ready for the next one; the device is held, the caller is not."""

from __future__ import annotations

import asyncio
import fcntl
import time

import pytest

from kernel_harness.tools.evaluation import judge_pool as pools
from kernel_harness.tools.evaluation.judge_pool import JudgePool
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.evaluation.service import EvaluationService
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.signing.keyring import Keyring

from .test_service import named


@pytest.fixture
def pool(tmp_path, scripted, monkeypatch):
    monkeypatch.setattr("kernel_harness.tools.distributed.device_lock.MACHINE", tmp_path)
    made = JudgePool(Settings(data_dir=tmp_path), scripted)
    yield made
    made.kill()


@pytest.fixture
def judged(pool, operator, tmp_path):
    settings = Settings(data_dir=tmp_path)
    keys = Keyring(settings.signing_key, tmp_path)
    records = RecordStore(tmp_path / "evaluations")
    service = EvaluationService(settings, pool, records, "cuda:0", keys)

    async def judge(part):
        request = EvaluationRequest(operator, named(part), Scope.FULL, force=True)
        return (await service.evaluate(request, 30)).evaluation

    return judge


def held(tmp_path) -> bool:
    with (tmp_path / "kernel-harness-cuda0.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_the_answer_does_not_wait_and_the_device_is_held(pool, judged, tmp_path):
    async def once():
        answer = await judged("never_drains")
        at_once = held(tmp_path)
        await pool.close()
        return answer, at_once

    answer, at_once = asyncio.run(once())
    assert answer.status is Status.PASSED and at_once


def test_the_device_is_free_once_the_judge_has_drained(pool, judged, tmp_path):
    async def twice():
        first, second = await judged("drains"), await judged("drains")
        async with pool.reserved("cuda:0", lambda *_: asyncio.sleep(0)):
            pass
        later = held(tmp_path)
        await pool.close()
        return first, second, later

    first, second, later = asyncio.run(twice())
    assert first.status is second.status is Status.PASSED and not later


def test_a_judge_that_does_not_drain_is_replaced(pool, judged, tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "DRAIN_S", 0.2)

    async def twice():
        await judged("never_drains")
        before = pool._judges["cuda:0"].pid
        again = await judged("fine")
        after = pool._judges["cuda:0"].pid
        await pool.close()
        return before, again, after

    before, again, after = asyncio.run(twice())
    assert again.status is Status.PASSED and before != after
    assert not held(tmp_path)


def test_a_judge_is_hurried_when_another_evaluation_waits(pool, judged):
    async def thrice():
        first = await judged("drains_when_hurried")
        before = pool._judges["cuda:0"].pid
        rest = await asyncio.gather(judged("drains_when_hurried"), judged("fine"))
        after = pool._judges["cuda:0"].pid
        await pool.close()
        return [first, *rest], before == after

    evaluations, same_judge = asyncio.run(thrice())
    assert [e.status for e in evaluations] == [Status.PASSED] * 3 and same_judge


def test_closing_does_not_wait_for_a_judge_to_drain(pool, judged, tmp_path):
    async def close_at_once():
        await judged("never_drains")
        began = time.monotonic()
        await pool.close()
        return time.monotonic() - began

    assert asyncio.run(close_at_once()) < pools.DRAIN_S / 2
    assert not held(tmp_path)
