"""Each rung is timed once, in an evaluation of its own, and compared as latencies."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.evaluation.ladder import rung_times
from kernel_harness.tools.evaluation.ladder.rungs import EAGER
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.evaluation.service import Evaluated
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evaluation,
    Evidence,
    Executor,
    Scope,
    Status,
    WorkloadResult,
)
from tests.records import FAILURE, make_record


def record(solution, latencies: dict[str, float], status=Status.PASSED, **more: Any) -> Evaluation:
    return make_record(
        status,
        of=solution,
        evaluation_id=f"ev-20260101-000000-{abs(hash(solution.name)) % 16**8:08x}",
        workloads=[
            WorkloadResult(uuid=uuid, axes={}, status=Status.PASSED, latency_us=us)
            for uuid, us in latencies.items()
        ],
        evidence=Evidence(started_at="2026-01-01T00:00:00+00:00", **more),
    )


class Service:
    """Gives each program the latencies that a test says; implements what a ladder asks for."""

    patience_s = 60.0
    executor = Executor.CUDA
    devices = ("cuda:0",)
    gpu: DeviceInfo | None = None

    def __init__(self, answers: dict[str, Any], records: tuple[Evaluation, ...] = ()) -> None:
        self._answers = answers
        self.asked: list[EvaluationRequest] = []
        self.records = SimpleNamespace(
            of_content=lambda digest: [
                r.evaluation_id for r in records if r.content_hash == digest
            ],
            get=lambda identity: next(r for r in records if r.evaluation_id == identity),
        )

    async def evaluate(self, request, wait_s=None, progress=None) -> Evaluated:
        self.asked.append(request)
        answer = self._answers.get(request.solution.name, {"a": 10.0, "b": 20.0})
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Status):
            return Evaluated(record(request.solution, {}, answer))
        return Evaluated(record(request.solution, answer, device=self.gpu))


@pytest.fixture
def request_(shipped) -> EvaluationRequest:
    operator = shipped.operator("gdn_decode")
    candidate = next(iter(operator.solutions().values()))
    return EvaluationRequest(operator, candidate, Scope.SAMPLE, operator.baseline(), ladder=True)


def climbed(service: Service, request: EvaluationRequest, wait_s: float | None = None):
    found = asyncio.run(rung_times.evaluate_with_ladder(service, request, wait_s))  # pyright: ignore[reportArgumentType]
    return {row.rung: row for row in found.ladder}


def test_every_rung_says_how_many_times_faster_the_candidate_is(request_):
    reference = request_.operator.reference().name
    answers = {request_.solution.name: {"a": 10.0, "b": 20.0}, reference: {"a": 40.0, "c": 1.0}}
    service = Service(answers)
    rows = climbed(service, request_)
    assert rows[EAGER].times == pytest.approx(4) and rows[EAGER].workloads == 1
    assert rows[EAGER].mean_us == pytest.approx(40)
    others = [row for name, row in rows.items() if name != EAGER]
    assert all(row.times == pytest.approx(1) and row.workloads == 2 for row in others)
    assert len(rows) == len(service.asked) - 1
    rung = service.asked[1]
    assert (
        rung.baseline is None
        and not rung.ladder
        and rung.checks == rung_times.rung_checks(request_)
    )


def test_a_rung_that_fails_or_is_not_there_yet_says_why(request_):
    (failing, one), (running, other), *_ = request_.operator.peers().items()
    answers = {one.name: InfrastructureError("The judge is gone"), other.name: Status.RUNNING}
    rows = climbed(Service(answers), request_)
    assert "judge is gone" in (rows[f"peer {failing}"].reason or "")
    assert rows[f"peer {running}"].reason == rung_times.LATER


def test_what_took_too_long_before_is_not_tried_again(request_):
    reference = request_.operator.reference()
    asked = replace(request_, solution=reference, baseline=None, ladder=False)
    asked = replace(asked, checks=rung_times.rung_checks(request_))
    earlier = record(reference, {}, Status.TIMEOUT, command=asked.command)
    service = Service({}, (earlier,))
    rows = climbed(service, request_)
    assert rows[EAGER].reason == f"TIMEOUT: {FAILURE.message}"
    assert reference.name not in [request.solution.name for request in service.asked]


def test_when_the_wait_is_over_the_rest_is_left_for_the_next_call(request_):
    rows = climbed(Service({}), request_, wait_s=0)
    assert {row.reason for row in rows.values()} == {rung_times.LATER}


def test_a_rung_for_other_gpus_is_named_and_not_run(shipped):
    operator = shipped.operator("moe_fp8")
    candidate = operator.solutions()["triton_grouped"]
    service = Service({})
    service.gpu = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, compute_capability="9.0")
    rows = climbed(service, EvaluationRequest(operator, candidate, Scope.SAMPLE, ladder=True))
    assert rows["peer flashinfer_trtllm"].reason == rung_times.OTHER_GPUS
    assert rows["peer flashinfer"].times == pytest.approx(1)
    asked = [request.solution.name for request in service.asked]
    assert "moe_flashinfer" in asked and "moe_flashinfer_trtllm" not in asked


def test_without_a_gpu_rungs_are_named_and_none_is_run(request_):
    service = Service({})
    service.executor = Executor.INTERPRETER
    rows = climbed(service, request_)
    assert {row.reason for row in rows.values()} == {rung_times.NO_GPU} and len(service.asked) == 1


def test_a_candidate_that_failed_has_no_ladder(request_):
    assert climbed(Service({request_.solution.name: Status.TIMEOUT}), request_) == {}


def test_without_being_asked_for_nothing_else_is_evaluated(request_):
    service = Service({})
    assert climbed(service, replace(request_, ladder=False)) == {} and len(service.asked) == 1
