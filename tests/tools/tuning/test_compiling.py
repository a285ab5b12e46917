"""Static evaluations together: one turn of the judge, a record for each, one fault for one."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from kernel_harness.tools.evaluation.judge_pool import JudgePool
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.evaluation.service import EvaluationService
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.signing.keyring import Keyring
from kernel_harness.tools.tuning import compiling

from ...judging import make_solution
from ..evaluation.conftest import operator
from ..evaluation.scripted_command import scripted_judge

__all__ = ["operator"]


@pytest.fixture
def service(tmp_path):
    settings = Settings(data_dir=tmp_path)
    pool = JudgePool(settings, scripted_judge())
    keys = Keyring(settings.signing_key, settings.archive_dir)
    made = EvaluationService(settings, pool, RecordStore(settings.evaluations_dir), "cpu", keys)
    yield made, pool
    pool.kill()


def program(name: str, number: int, source: str = "def run(x, y):\n    pass") -> Solution:
    return make_solution(f"{source}  # {number}\n", definition="double", name=name)


def compiled(service, operator, programs, told=None):
    evaluations, pool = service

    async def progress(done, total, message):
        if told is not None:
            told.append((done, total, message))

    async def together():
        requests = [EvaluationRequest(operator, p, Scope.STATIC) for p in programs]
        try:
            return await compiling.compile_together(evaluations, pool, "cpu", requests, progress)
        finally:
            await pool.close()

    return asyncio.run(together())


def test_each_has_its_record_in_the_order_that_was_asked(service, operator):
    told: list[tuple[float, float, str]] = []
    programs = [program(f"p{n}", n) for n in range(compiling.MOST_SENT + 4)]
    found = compiled(service, operator, programs, told)
    assert [e.solution_name for e in found] == [p.name for p in programs]
    assert all(service[0].records.has(e.evaluation_id) for e in found)
    count = len(programs)
    assert told[-1] == (count, count, f"compiled {count} of {count} variants")


def test_a_second_call_compiles_nothing_again(service, operator):
    programs = [program(f"p{n}", n) for n in range(3)]
    first = compiled(service, operator, programs)
    again = compiled(service, operator, programs)
    assert [e.evaluation_id for e in first] == [e.evaluation_id for e in again]


def test_what_a_parser_refuses_never_reaches_the_judge(service, operator):
    programs = [program("fine", 1), program("torn", 2, source="def run(")]
    fine, torn = compiled(service, operator, programs)
    assert fine.status is Status.PASSED and torn.status is Status.COMPILE_ERROR


def test_a_fault_of_one_is_the_fault_of_one(service, operator):
    faulty, fine = compiled(service, operator, [program("judge_faults", 1), program("fine", 2)])
    assert faulty.status is Status.INFRASTRUCTURE_ERROR and fine.status is Status.PASSED


def test_where_the_judge_dies_every_one_that_is_left_says_so(service, operator):
    programs = [program("fine", 1), program("judge_dies", 2), program("fine", 3)]
    found = compiled(service, operator, programs)
    # Plans are made side by side, so that any of the others may have been judged before it died.
    others = {found[0].status, found[2].status}
    assert found[1].status is Status.INFRASTRUCTURE_ERROR
    assert others <= {Status.PASSED, Status.INFRASTRUCTURE_ERROR}
    assert all(service[0].records.has(e.evaluation_id) for e in found)


def test_a_cancelled_call_ends_the_judge_and_the_next_finds_another(service, operator):
    evaluations, pool = service

    async def cancelled():
        began = asyncio.Event()
        real = pool.judge_of

        @contextlib.asynccontextmanager
        async def judge_of(*given):
            async with real(*given) as judge:
                began.set()
                yield judge

        pool.judge_of = judge_of
        requests = [EvaluationRequest(operator, program("deaf", 1), Scope.STATIC)]
        work = asyncio.create_task(
            compiling.compile_together(evaluations, pool, "cpu", requests, ignore_progress)
        )
        await began.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        found = await compiling.compile_together(
            evaluations,
            pool,
            "cpu",
            [EvaluationRequest(operator, program("fine", 2), Scope.STATIC)],
            ignore_progress,
        )
        await pool.close()
        return found

    (found,) = asyncio.run(cancelled())
    assert found.status is Status.PASSED


def test_a_judge_that_does_not_start_is_told_of_each(tmp_path, operator):
    settings = Settings(data_dir=tmp_path)
    pool = JudgePool(settings, (*scripted_judge(), "--refuse-to-start"))
    keys = Keyring(settings.signing_key, settings.archive_dir)
    made = EvaluationService(settings, pool, RecordStore(settings.evaluations_dir), "cpu", keys)
    (found,) = compiled((made, pool), operator, [program("fine", 1)])
    assert found.status is Status.INFRASTRUCTURE_ERROR
    assert found.failure is not None and "no torch here" in found.failure.message


def test_an_error_of_any_kind_ends_the_call(service, operator):
    """Whoever waited for a record waited for ever."""

    class Torn(list):
        def append(self, told):
            raise ValueError("the client is gone")

    with pytest.raises(ValueError, match="the client is gone"):
        compiled(service, operator, [program(f"p{n}", n) for n in range(3)], Torn())
