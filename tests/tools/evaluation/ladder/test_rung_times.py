"""Each rung is timed once, in an evaluation of its own, and compared as latencies."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.evaluation.ladder import rung_times, rungs
from kernel_harness.tools.evaluation.ladder.rungs import AUTOTUNED, COMPILED, EAGER
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.evaluation.service import Evaluated
from kernel_harness.tools.messages.judge import EvaluatePlan, JudgeReport
from kernel_harness.tools.progress import OnProgress, ignore_progress
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evaluation,
    Evidence,
    Executor,
    Scope,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.schema.measurement import Measurement
from tests.records import FAILURE, make_record


def record(solution, latencies: dict[str, float], status=Status.PASSED, **more: Any) -> Evaluation:
    """One with these workloads; those without a latency are not run."""
    of = {name: more.pop(name) for name in ("failure", "baseline_hash") if name in more}
    return make_record(
        status,
        of=solution,
        evaluation_id=f"ev-20260101-000000-{abs(hash(solution.name)) % 16**8:08x}",
        workloads=[
            WorkloadResult(
                uuid=uuid,
                axes={},
                status=Status.PASSED if us else Status.NOT_RUN,
                reason=None if us else "the candidate had used up its own budget of 20 s here",
                latency_us=us or None,
            )
            for uuid, us in latencies.items()
        ],
        evidence=Evidence(
            started_at="2026-01-01T00:00:00+00:00", budgets={"candidate": 20.0}, **more
        ),
        **of,
    )


class Service:
    """Gives each program the latencies that a test says; implements what a ladder asks for.

    Args:
        answers: by program; of several in a list one for each time that it is asked for.
        earlier: records by program.
        under_way: programs that are being evaluated.
    """

    patience_s = 60.0
    executor = Executor.CUDA
    devices = ("cuda:0",)
    gpu: DeviceInfo | None = None

    def __init__(
        self,
        answers: dict[str, Any],
        earlier: dict[str, Evaluation] | None = None,
        under_way: tuple[str, ...] = (),
    ) -> None:
        self._answers, self._earlier, self._under_way = answers, earlier or {}, under_way
        self.asked: list[EvaluationRequest] = []
        self.waited_for: list[str] = []

    @property
    def names(self) -> list[str]:
        """The programs that were asked for, in order, after the candidate."""
        return [request.solution.name for request in self.asked[1:]]

    def earlier(self, request: EvaluationRequest) -> Evaluation | None:
        return None if request.only else self._earlier.get(request.solution.name)

    def under_way(self, request: EvaluationRequest) -> str | None:
        name = request.solution.name
        return name if name in self._under_way else None

    async def get(self, evaluation_id, wait_s=None, progress=None) -> Evaluated:
        self.waited_for.append(evaluation_id)
        return Evaluated(make_record(evaluation_id="ev-20260101-000000-00000001", workloads=TIMED))

    async def evaluate(self, request, wait_s=None, progress=ignore_progress) -> Evaluated:
        self.asked.append(request)
        await progress(1, 4, "timing workload 2 of 9")
        answer = self._answers.get(request.solution.name, {"a": 10.0, "b": 20.0})
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Evaluation):
            return Evaluated(answer)
        if isinstance(answer, Status):
            return Evaluated(record(request.solution, {}, answer))
        return Evaluated(record(request.solution, answer, device=self.gpu))


TIMED = [WorkloadResult(uuid="a", axes={}, status=Status.PASSED, latency_us=30.0)]
SLOW_NAMES = (EAGER, COMPILED, AUTOTUNED)


@pytest.fixture
def request_(shipped) -> EvaluationRequest:
    operator = shipped.operator("gdn_decode")
    candidate = next(iter(operator.solutions().values()))
    return EvaluationRequest(operator, candidate, Scope.SAMPLE, operator.baseline(), ladder=True)


def climbed(
    service: Service,
    request: EvaluationRequest,
    wait_s: float | None = None,
    progress: OnProgress = ignore_progress,
):
    asked: Any = service
    found = asyncio.run(rung_times.evaluate_with_ladder(asked, request, wait_s, progress))
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
        and rung.checks is not None
        and rung.checks.trials == 1
    )


def test_the_table_begins_with_the_plainest_and_the_quick_ones_are_timed_first(request_):
    service = Service({})
    assert tuple(climbed(service, request_))[:3] == SLOW_NAMES
    slow = [r.solution for r in rungs.rungs_of(request_.operator, None)[:3]]
    assert service.names[-3:] == [solution.name for solution in slow]
    bounds = [request.bounds for request in service.asked[1:]]
    assert bounds == [rungs.QUICK] * (len(bounds) - 3) + [rungs.SLOW] * 3


def test_a_rung_that_fails_or_is_not_there_yet_says_why(request_):
    (failing, one), (running, other), *_ = request_.operator.peers().items()
    answers = {one.name: InfrastructureError("The judge is gone"), other.name: Status.RUNNING}
    rows = climbed(Service(answers), request_)
    assert "judge is gone" in (rows[f"peer {failing}"].reason or "")
    assert rows[f"peer {running}"].reason == rung_times.STILL


def test_the_wait_says_which_rung_and_what_of_it(request_):
    told: list[tuple[float, float, str]] = []

    async def hear(*step: Any) -> None:
        told.append(step)

    rows = climbed(Service({}), request_, progress=hear)
    steps = told[1:]
    assert len(steps) == len(rows)
    assert [step[0] for step in steps] == sorted(step[0] for step in steps)
    assert {step[1] for step in steps} == {len(rows)}
    assert steps[-1][2] == f"rung 7 of 7, {AUTOTUNED}: timing workload 2 of 9"


def test_a_rung_that_was_timed_in_part_says_how_many_and_what_it_was_given(request_):
    reference = request_.operator.reference()
    part = record(reference, {"a": 40.0, "b": 0.0, "c": 0.0}, Status.PARTIAL)
    answers = {request_.solution.name: {"a": 10.0, "b": 20.0}, reference.name: part}
    row = climbed(Service(answers), request_)[EAGER]
    assert row.times == pytest.approx(4) and row.workloads == 1
    assert row.reason == "1 of 2 workloads: no more fitted into its 20 s"


def test_an_earlier_record_is_an_answer_even_when_the_wait_is_over(request_):
    reference = request_.operator.reference()
    earlier = record(reference, {"a": 40.0, "b": 80.0})
    service = Service({}, {reference.name: earlier})
    rows = climbed(service, request_, wait_s=0)
    assert rows[EAGER].times == pytest.approx(4) and len(service.asked) == 1
    assert {row.reason for name, row in rows.items() if name != EAGER} == {rung_times.LATER}


def test_what_took_too_long_before_is_not_tried_again(request_):
    reference = request_.operator.reference()
    service = Service({}, {reference.name: record(reference, {}, Status.TIMEOUT)})
    rows = climbed(service, request_)
    assert rows[EAGER].reason == f"TIMEOUT: {FAILURE.message}"
    assert reference.name not in service.names
    assert all(request.bounds and not request.bounds.again for request in service.asked[1:])


def test_who_forces_has_what_was_cut_tried_again(request_):
    service = Service({})
    climbed(service, replace(request_, force=True))
    assert all(request.bounds and request.bounds.again for request in service.asked[1:])
    assert not any(request.force for request in service.asked[1:])


def test_of_a_rung_too_slow_on_one_workload_the_others_are_timed(request_):
    reference = request_.operator.reference()
    failure = FAILURE.model_copy(update={"message": "Too slow.", "axes": {"batch_size": 8}})
    too_slow = record(reference, {"a": 1.0, "b": 0.0}, Status.TIMEOUT, failure=failure)
    fewer = record(reference, {"a": 40.0}, Status.PARTIAL)
    for earlier, answers in (({}, [too_slow, fewer]), ({reference.name: too_slow}, [fewer])):
        service = Service({reference.name: answers}, earlier)
        row = climbed(service, request_)[EAGER]
        assert row.times == pytest.approx(4)
        assert row.reason == "1 of 2 workloads: Too slow. (batch_size=8)"
        (last,) = [r for r in service.asked if r.solution.name == reference.name][-1:]
        assert last.only == ("a",)


def test_one_that_is_being_timed_is_waited_for_and_not_begun_again(request_):
    reference = request_.operator.reference()
    service = Service({}, under_way=(reference.name,))
    rows = climbed(service, request_)
    assert service.waited_for == [reference.name] and reference.name not in service.names
    assert rows[EAGER].times == pytest.approx(3)
    rows = climbed(Service({}, under_way=(reference.name,)), request_, wait_s=0)
    assert rows[EAGER].reason == rung_times.STILL


def test_when_the_wait_is_over_the_rest_is_left_for_the_next_call(request_):
    service = Service({})
    rows = climbed(service, request_, wait_s=0)
    assert {row.reason for row in rows.values()} == {rung_times.LATER}
    assert len(service.asked) == 1


def test_the_baseline_s_row_is_the_pairs_that_decide(request_):
    baseline = request_.baseline
    own = record(request_.solution, {"a": 10.0, "b": 20.0}, baseline_hash=baseline.content_hash())
    pairs = [
        result.model_copy(update={"baseline_latency_us": 30.0, "speedup": 2.0})
        for result in own.workloads
    ]
    whole = own.model_copy(update={"workloads": pairs})
    half = own.model_copy(update={"workloads": [pairs[0], own.workloads[1]]})
    name = f"baseline {baseline.name}"
    for record_, reason in ((whole, None), (half, "1 of 2 workloads")):
        service = Service({request_.solution.name: record_})
        row = climbed(service, request_)[name]
        assert row.times == pytest.approx(2) and row.mean_us == pytest.approx(30)
        assert (row.reason, row.evaluation_id) == (reason, own.evaluation_id)
        assert baseline.name not in service.names
    service = Service({request_.solution.name: own})
    assert climbed(service, request_)[name].times == pytest.approx(1)
    assert baseline.name in service.names, "no pair of it was timed"


@pytest.mark.parametrize("status", [Status.RUNNING, Status.COMPILED])
def test_nothing_is_timed_beside_a_candidate_without_a_time(request_, status):
    service = Service({request_.solution.name: status})
    rows = climbed(service, request_)
    assert len(service.asked) == 1 and len({row.reason for row in rows.values()}) == 1
    assert (rows[EAGER].reason == rung_times.LATER) == (status is Status.RUNNING)


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


def timed_record(plan: EvaluatePlan) -> JudgeReport:
    """What a judge with a clock says of a plan: each workload takes a microsecond."""
    solution = Solution.model_validate(plan.solution)
    results = [
        WorkloadResult(
            uuid=planned.uuid,
            axes=planned.workload["axes"],
            status=Status.PASSED,
            measurement=Measurement(timer="cupti", cold_ns=[1_000] * 10),
        )
        for planned in plan.workloads
    ]
    found = make_record(
        of=solution,
        evaluation_id=plan.evaluation_id,
        scope=Scope(plan.scope),
        workload_digest=plan.workload_digest,
        workloads=results,
        evidence=Evidence(started_at="2026-01-01T00:00:00+00:00", command=plan.command),
    )
    return JudgeReport(evaluation_id=plan.evaluation_id, evaluation=found.model_dump(mode="json"))


def test_each_rung_is_judged_once_however_often_and_impatiently_it_is_asked_for(
    service, operator, monkeypatch
):
    judged: list[str] = []
    began, go_on = asyncio.Event(), asyncio.Event()

    async def evaluate(devices, plan, progress, client=""):
        judged.append(plan.solution["name"])
        if plan.solution["name"] == operator.reference().name:
            began.set()
            await go_on.wait()
        return timed_record(plan)

    monkeypatch.setattr(service._pool, "evaluate", evaluate)
    service.executor = Executor.CUDA
    candidate = operator.reference().model_copy(update={"name": "mine"})
    candidate.sources[0].content += "\n# another\n"
    request = EvaluationRequest(operator, candidate, Scope.FULL, ladder=True)

    async def asked():
        climb = rung_times.evaluate_with_ladder
        first = asyncio.create_task(climb(service, request, 30))
        await began.wait()
        early = await climb(service, request, 0)
        second = asyncio.create_task(climb(service, request, 30))
        go_on.set()
        both = await asyncio.gather(first, second)
        return [found.ladder for found in (early, *both, await climb(service, request, 0))]

    early, *others = asyncio.run(asked())
    assert [row.reason for row in early] == [rung_times.STILL, *[rung_times.LATER] * 2]
    for rows in others:
        assert [row.times for row in rows] == pytest.approx([1.0] * 3)
        assert [row.evaluation_id for row in rows] == [row.evaluation_id for row in others[0]]
    assert early[0].evaluation_id == others[0][0].evaluation_id
    assert len(judged) == len(set(judged)) == 4
