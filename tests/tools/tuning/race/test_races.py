"""The runs of a race: what the judge is asked for, and that it is told which race they are of."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from kernel_harness.tools.evaluation.plan import EvaluationRequest, make_plan
from kernel_harness.tools.schema.evaluation import Executor, Scope
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.tuning.race.races import DeviceRace
from kernel_harness.tools.tuning.variants import Variant
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.regimes import sample_shapes

OPERATOR = Dataset.load(load_settings({}).kernels_dir, []).operator("dsa_topk")
SAMPLE = sample_shapes(OPERATOR)
PROGRAM = next(iter(OPERATOR.peers().values()))


def variant(name: str) -> Variant:
    first, *others = PROGRAM.sources
    changed = first.model_copy(update={"content": f"{first.content}\n# {name}\n"})
    sources = [changed, *others]
    return Variant(name, PROGRAM.model_copy(update={"name": name, "sources": sources}))


def plan(request: EvaluationRequest) -> Any:
    return make_plan(request, "ev", SAMPLE, Executor.CUDA, load_settings({}))


class Service:
    """Answers each request with a record of given times, by content, and notes the request."""

    def __init__(self, us: dict[str, float]) -> None:
        self.us = us
        self.asked: list[EvaluationRequest] = []

    async def evaluate(self, request: EvaluationRequest, limit_s: float) -> Any:
        self.asked.append(request)
        us = self.us[request.solution.name]
        ratio = self.us[request.baseline.name] / us if request.baseline else None
        found = SimpleNamespace(ratio=ratio, interval=(ratio, ratio), decision="FASTER")
        results = [
            SimpleNamespace(
                uuid=uuid,
                latency_us=us,
                latency_interval_us=None,
                baseline_latency_us=us * ratio if ratio else None,
                comparison=found if ratio else None,
            )
            for uuid in request.only
        ]
        return SimpleNamespace(evaluation=SimpleNamespace(status="PASSED", workloads=results))


BASE = EvaluationRequest(OPERATOR, PROGRAM, Scope.SAMPLE)


def raced(us: dict[str, float]) -> tuple[DeviceRace, Service]:
    service: Any = Service(us)
    race = DeviceRace(service, BASE, SAMPLE.regimes[:1])
    asyncio.run(race.run([variant(name) for name in us]))
    return race, service


def test_all_runs_are_of_one_race_and_no_other_evaluation_is():
    (_, first), (_, second) = raced({"a": 1.0, "b": 1.01}), raced({"a": 1.0})
    plans = [plan(request) for request in first.asked]
    assert [p.baseline is not None for p in plans] == [False, False, True]
    (name,) = {p.race for p in plans}
    assert name and {plan(request).race for request in second.asked}.isdisjoint({name, ""})
    assert plan(BASE).race == "", "a winner is judged by a request like the first"
