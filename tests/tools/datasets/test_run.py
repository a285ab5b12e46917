"""A run over a dataset: every solution once, the reference timed, results as traces."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kernel_harness.tools.datasets.evaluation_config import (
    EvaluationChoices,
    EvaluationConfig,
)
from kernel_harness.tools.datasets.jobs import Chosen, jobs_by_folder
from kernel_harness.tools.datasets.ranking import rank
from kernel_harness.tools.datasets.run import DatasetRun, JobResult, RunOptions
from kernel_harness.tools.datasets.trace_set import read_trace_set
from kernel_harness.tools.datasets.trace_writer import TraceWriter
from kernel_harness.tools.schema.evaluation import Executor, Status
from kernel_harness.tools.schema.flashinfer_trace import Performance
from kernel_harness.tools.workloads.dataset import Dataset

from .devices import LATENCIES, REFERENCE_US, ScriptedDevice
from .folders import DatasetFolder

USUAL, EVERYTHING = RunOptions(), Chosen()


def ran(
    folder: DatasetFolder,
    *devices: ScriptedDevice,
    options: RunOptions = USUAL,
    chosen: Chosen = EVERYTHING,
    save: bool = True,
) -> list[JobResult]:
    jobs = jobs_by_folder({folder.root: Dataset.load(folder.root)}, chosen)[folder.root]
    named = {f"cuda:{n}": device for n, device in enumerate(devices)}
    run = DatasetRun(named, TraceWriter(folder.root) if save else None, options)
    return asyncio.run(run.run(jobs))


def times(folder: DatasetFolder) -> dict[str, Performance]:
    """By solution, the times of its last trace."""
    found = {}
    for entry in read_trace_set(folder.root).traces:
        judged = entry.value.evaluation
        if judged and judged.performance:
            found[entry.value.solution] = judged.performance
    return found


def test_every_solution_is_judged_and_its_traces_are_added(dataset) -> None:
    device = ScriptedDevice(LATENCIES)
    results = ran(dataset, device)
    assert device.judged() == ["plain", "double_reference", "quick", "slow", "wrong"]
    assert {r.solution: r.status for r in results} == {
        "plain": Status.PASSED,
        "quick": Status.PASSED,
        "slow": Status.PASSED,
        "wrong": Status.INCORRECT_NUMERICAL,
    }
    assert sum(r.traces for r in results) == 8
    assert (dataset.root / "traces/me/scale/double.jsonl").is_file()
    assert [s.solution for s in rank(read_trace_set(dataset.root)).solutions] == [
        *("quick", "plain", "slow", "wrong"),
    ]


def test_a_trace_has_the_references_latency_and_the_speedup_over_it(dataset) -> None:
    ran(dataset, ScriptedDevice(LATENCIES))
    found = times(dataset)["quick"]
    assert found.latency_ms == pytest.approx(0.005)
    assert found.reference_latency_ms == pytest.approx(REFERENCE_US / 1000)
    assert found.speedup_factor == pytest.approx(8)
    assert times(dataset)["slow"].speedup_factor == pytest.approx(0.5)


def test_solutions_are_compared_with_the_baseline_and_it_with_nothing(dataset) -> None:
    device = ScriptedDevice(LATENCIES)
    ran(dataset, device)
    against = {r.solution.name: r.baseline and r.baseline.name for r in device.requests}
    assert against == {
        **{"plain": None, "double_reference": None},
        **dict.fromkeys(("quick", "slow", "wrong"), "plain"),
    }


@pytest.mark.parametrize("profile_baseline", [True, False, None])
def test_the_reference_is_timed_unless_that_is_not_asked_for(dataset, profile_baseline) -> None:
    device = ScriptedDevice(LATENCIES)
    ran(
        dataset,
        device,
        options=RunOptions(said=EvaluationChoices(profile_baseline=profile_baseline)),
    )
    timed = profile_baseline is not False
    assert ("double_reference" in device.judged()) is timed
    assert times(dataset)["quick"].reference_latency_ms == (REFERENCE_US / 1000 if timed else 0.0)


def test_a_second_run_adds_nothing_twice(dataset) -> None:
    device = ScriptedDevice(LATENCIES)
    ran(dataset, device)
    again = ran(dataset, device)
    assert all(r.earlier and r.traces == 0 for r in again)
    assert len(read_trace_set(dataset.root).traces) == 8
    forced = ran(dataset, device, options=RunOptions(force=True))
    assert sum(r.traces for r in forced) == 8


def test_resuming_leaves_out_what_the_traces_cover(dataset) -> None:
    dataset.traces("quick", {1: 0.1, 8: 0.1})
    dataset.traces("slow", {1: 0.1})
    device = ScriptedDevice(LATENCIES)
    results = ran(dataset, device, options=RunOptions(resume=True))
    assert "quick" not in device.judged() and "slow" in device.judged()
    assert [r.reason for r in results if r.status is None] == ["the dataset has its traces"]


def test_a_run_that_is_killed_goes_on_where_it_was(dataset) -> None:
    device = ScriptedDevice(LATENCIES)
    jobs = jobs_by_folder({dataset.root: Dataset.load(dataset.root)}, Chosen())[dataset.root]

    def die(result: JobResult) -> None:
        if result.solution == "quick":
            raise KeyboardInterrupt

    run = DatasetRun({"cuda:0": device}, TraceWriter(dataset.root), RunOptions(), die)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run.run(jobs))
    # As a kill in the middle of a write leaves it.
    path = dataset.root / "traces/me/scale/double.jsonl"
    path.write_bytes(path.read_bytes() + b'{"definition": "dou')
    ran(dataset, device)
    found = read_trace_set(dataset.root)
    assert found.problems == ()
    assert len(found.traces) == 8


def test_one_job_that_cannot_be_judged_ends_no_other(dataset) -> None:
    device = ScriptedDevice({**LATENCIES, "quick": "the judge died"})
    results = {r.solution: r for r in ran(dataset, device)}
    assert results["quick"].status is None and "judge died" in results["quick"].reason
    assert results["slow"].status is Status.PASSED


def test_a_reference_that_cannot_be_timed_leaves_traces_without_a_speedup(dataset) -> None:
    device = ScriptedDevice({**LATENCIES, "double_reference": "the judge died"})
    ran(dataset, device)
    assert times(dataset)["quick"] == Performance(latency_ms=0.005)


def test_times_of_unlike_devices_are_not_compared(dataset) -> None:
    """The queue gives both devices jobs of the one definition; the first times the reference."""
    first = ScriptedDevice(LATENCIES, "NVIDIA H200", seconds=0.02)
    second = ScriptedDevice(LATENCIES, "NVIDIA B200", seconds=0.02)
    results = ran(dataset, first, second)
    assert {r.device for r in results} == {"cuda:0", "cuda:1"}
    assert sorted(first.judged() + second.judged()).count("double_reference") == 1
    compared = {r.device for r in results if r.speedup is not None}
    assert len(compared) == 1


def test_several_devices_share_the_definitions(folder) -> None:
    for name in ("double", "triple", "fourfold"):
        folder.definition(name)
        folder.workloads(1, definition=name)
        for number in range(3):
            source = f"def run(x, y):\n    y.copy_(x)  # {number}\n"
            folder.solution(f"{name}_{number}", definition=name, source=source)
    devices = [ScriptedDevice({}, seconds=0.01) for _ in range(2)]
    results = ran(folder, *devices)
    assert len(results) == 9 and all(r.passed for r in results)
    references = [name for device in devices for name in device.judged() if "reference" in name]
    assert len(references) == 3
    assert all(len(device.requests) >= 4 for device in devices)


def test_without_a_gpu_nothing_is_timed_and_failures_are_kept(dataset) -> None:
    device = ScriptedDevice(LATENCIES, "CPU", executor=Executor.INTERPRETER)
    results = ran(dataset, device)
    assert "double_reference" not in device.judged()
    assert {r.solution: r.traces for r in results} == {
        "plain": 0,
        "quick": 0,
        "slow": 0,
        "wrong": 2,
    }


def test_nothing_is_written_unless_it_is_wanted(dataset) -> None:
    ran(dataset, ScriptedDevice(LATENCIES), save=False)
    assert not (dataset.root / "traces").exists()


def test_what_the_configuration_says_of_a_type_reaches_the_judge(dataset) -> None:
    device = ScriptedDevice(LATENCIES)
    config = EvaluationConfig(op_types={"scale": EvaluationChoices(atol=1.0, num_trials=7)})
    ran(dataset, device, options=RunOptions(config=config))
    quick = next(r for r in device.requests if r.solution.name == "quick")
    assert quick.operator.own_policy and quick.operator.policy.tolerance.atol == 1.0
    assert quick.checks is not None and quick.checks.trials == 7


def test_operators_with_candidates_beside_them_are_run(tmp_path: Path) -> None:
    place = tmp_path / "operators" / "double"
    folder = DatasetFolder(place)
    folder.definition()
    (place / "definitions/scale/double.json").rename(place / "definition.json")
    folder.workloads(1)
    (place / "workloads/scale/double.jsonl").rename(place / "workloads.jsonl")
    for kind, name in (("peers", "eager"), ("candidates", "mine")):
        folder.file(
            f"{kind}/{name}/candidate.toml",
            f'name = "{name}"\ndefinition = "double"\nlanguage = "python"\n'
            'entry_point = "main.py::run"\n',
        )
        folder.file(f"{kind}/{name}/main.py", f"def run(x, y):\n    y.copy_(x)  # {name}\n")
    folder.file("policy.toml", 'baseline = "eager"\n')
    device = ScriptedDevice({})
    jobs = jobs_by_folder({tmp_path / "operators": Dataset.load(tmp_path / "operators")}, Chosen())[
        tmp_path / "operators"
    ]
    asyncio.run(DatasetRun({"cpu": device}, None).run(jobs))
    assert device.judged() == ["eager", "mine"]
    assert device.requests[1].baseline is not None
