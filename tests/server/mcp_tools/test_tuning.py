"""Many variants in one call, through a client: the table, the winners, what combines them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from kernel_harness.server.app import build_app
from kernel_harness.tools.messages.judge import Progress, Ready
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evidence,
    Executor,
    Failure,
    Stage,
    StaticCheck,
    StaticKernel,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.measurement import Measurement, TimeSource
from kernel_harness.tools.tuning import service as tuning_service

from ..calls import good, refused
from ..scripted import DEFINITION, ScriptedHarness, passed, wrong

pytestmark = pytest.mark.anyio
H200 = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, sm_count=132)
SOURCE = "BLOCK = 64\nSTAGES = 1\n\n\ndef run(x, weight):\n    return x * BLOCK * STAGES\n"
GRID = {"tile": {"BLOCK": [16, 32, 64, 128]}}


def values(plan: Any) -> tuple[int, int]:
    text = plan.solution["sources"][0]["content"]
    found = re.search(r"BLOCK = (\d+)\nSTAGES = (\d+)", text)
    assert found is not None, text
    return int(found[1]), int(found[2])


def kernel(block: int) -> StaticKernel:
    return StaticKernel(
        name="step",
        target="sm_90",
        registers=block,
        spill_bytes=512 if block == 128 else 0,
        shared_bytes=16 * block,
        threads=128,
    )


def compiled(plan: Any) -> dict[str, Any]:
    block, _ = values(plan)
    check = StaticCheck(status="built", kernels=[kernel(block)])
    return {"status": Status.COMPILED, "stage": Stage.DONE, "static": check}


def on_gpu(plan: Any) -> dict[str, Any]:
    """Small blocks are the fastest on few rows, large ones on many; two stages are slower."""
    if not plan.checks.execute:
        return compiled(plan)
    block, stages = values(plan)
    results = []
    for planned in plan.workloads:
        rows = planned.workload["axes"]["rows"]
        best = 16 if rows <= 4 else 64
        time = round(1_000 * (1 + rows / 16) * (1 + abs(block - best) / 32) * stages)
        clock = TimeSource.SEALED if plan.sealed_clock else TimeSource.CLAIMED
        measurement = Measurement(timer="cupti", cold_ns=[time] * 10, clock=clock)
        results.append(
            WorkloadResult(
                uuid=planned.uuid,
                axes={"rows": rows},
                status=Status.PASSED,
                measurement=measurement,
                regime=planned.regime,
                weight=planned.weight,
            )
        )
    evidence = Evidence(started_at="2026-11-20T22:15:30+00:00", device=H200, command=plan.command)
    return {
        "status": Status.PASSED,
        "stage": Stage.DONE,
        "workloads": results,
        "evidence": evidence,
    }


class Judge:
    """Answers plans that only compile, by the harness's verdict."""

    ready = Ready(device={"compute_capability": "9.0"}, versions={}, isolation={}, seconds=0.0)

    def __init__(self, harness: ScriptedHarness) -> None:
        self._harness, self._plans = harness, list[Any]()

    async def send(self, plan: Any) -> None:
        self._plans.append(plan)

    async def read(self) -> Any:
        if len(self._plans) > 1 and self._plans[0] is not None:
            plan = self._plans[0]
            self._plans.insert(0, None)
            return Progress(
                evaluation_id=plan.evaluation_id, done=1, total=2, stage="compile", message="-"
            )
        self._plans = [plan for plan in self._plans if plan is not None]
        return await self._harness._judged("cpu", self._plans.pop(0), ignore_progress)


@pytest.fixture
def connect(harness: ScriptedHarness) -> Any:
    """Opens a client; the eras of the protocol are no matter of variants."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Client]:
        async with Client(build_app(harness=harness)) as client:
            yield client

    return opened


@pytest.fixture
def harness(harness: ScriptedHarness, monkeypatch: pytest.MonkeyPatch) -> ScriptedHarness:
    @contextlib.asynccontextmanager
    async def judge_of(*given: Any) -> AsyncIterator[Judge]:
        yield Judge(harness)

    monkeypatch.setattr(harness.pool, "judge_of", judge_of)
    harness.verdict = lambda plan: compiled(plan) if not plan.checks.execute else passed(plan)
    return harness


@pytest.fixture
def gpu(harness: ScriptedHarness, monkeypatch: pytest.MonkeyPatch) -> ScriptedHarness:
    monkeypatch.setattr(harness.evaluations, "executor", Executor.CUDA)
    harness.verdict = on_gpu
    return harness


async def opened(client: Any, name: str = "mine", source: str = SOURCE) -> Path:
    workspace = await good(client, "open_workspace", definition=DEFINITION, name=name)
    folder = Path(workspace["workspace"])
    (folder / "kernel.py").write_text(source)
    file = folder / "candidate.toml"
    said = file.read_text("utf-8")
    file.write_text(
        said.replace("destination_passing_style = true", "destination_passing_style = false")
    )
    return folder


async def test_without_a_gpu_all_are_compiled_and_listed_and_it_is_said_that_none_ran(
    connect: Any, harness: ScriptedHarness
) -> None:
    async with connect() as client:
        await opened(client)
        found = await good(client, "evaluate_variants", workspace="mine", variants=GRID)
    assert found["counts"] == {"compiled": 3, "pruned": 1} and "winners" not in found
    assert "no GPU" in found["summary"] and "spills 512 bytes" in found["summary"]
    assert "64 0 1024" in found["summary"], "registers, spills and shared memory"
    assert len(harness.archive.trials.refs()) == 4, "each is a trial in git"


async def test_a_failure_that_the_table_cuts_is_said_in_full_with_its_values(
    connect: Any, harness: ScriptedHarness
) -> None:
    said = "It does not compile: " + "word " * 30 + "and the end."

    def verdict(plan: Any) -> dict[str, Any]:
        failure = Failure(
            stage=Stage.COMPILE, kind="does_not_compile", message=said, remedy="Correct it."
        )
        return {"status": Status.COMPILE_ERROR, "stage": Stage.COMPILE, "failure": failure}

    harness.verdict = verdict
    async with connect() as client:
        await opened(client)
        grid = {"one": {"BLOCK": [16], "STAGES": 3}}
        found = await good(client, "evaluate_variants", workspace="mine", variants=grid)
        named = {"two": {"kernel.py::BLOCK": [16, 32], "STAGES": 1}}
        again = await good(client, "evaluate_variants", workspace="mine", variants=named)
        none = await refused(client, "evaluate_variants", variants=grid)
    assert f"In full, one (BLOCK=16, STAGES=3): COMPILE_ERROR: {said}" in found["summary"]
    assert f"In full, two BLOCK=16 (STAGES=1): COMPILE_ERROR: {said}" in again["summary"]
    assert "Pass workspace, whose constants vary, or workspaces" in none


async def test_the_interpreter_judges_each_when_it_is_asked_to(
    connect: Any, harness: ScriptedHarness
) -> None:
    def verdict(plan: Any) -> dict[str, Any]:
        if not plan.checks.execute:
            return compiled(plan)
        nothing = {"static": StaticCheck(status="unavailable")}
        return wrong(plan) | nothing if values(plan)[0] == 32 else passed(plan)

    harness.verdict = verdict
    async with connect() as client:
        await opened(client)
        found = await good(
            client, "evaluate_variants", workspace="mine", variants=GRID, interpret=True
        )
    assert found["counts"] == {"passed": 2, "pruned": 1, "failed": 1}
    assert "40 of 128 elements differ" in found["summary"]
    assert "32 0 512" in found["summary"], "what compiling showed is not forgotten"
    assert "open_workspace" in found["summary"]


async def test_a_table_in_the_candidate_file_names_the_constants(
    connect: Any, harness: ScriptedHarness
) -> None:
    async with connect() as client:
        folder = await opened(client)
        nothing = await refused(client, "evaluate_variants", workspace="mine", scope="static")
        with (folder / "candidate.toml").open("a") as file:
            file.write("\n[tune]\nBLOCK = [16, 32]\n")
        found = await good(client, "evaluate_variants", workspace="mine", scope="static")
    assert "[tune]" in nothing
    assert found["counts"] == {"compiled": 2} and "BLOCK=16" in found["summary"]


async def test_on_a_gpu_each_regime_has_its_winner_and_a_child_chooses_between_them(
    connect: Any, gpu: ScriptedHarness
) -> None:
    async with connect() as client:
        await opened(client)
        found = await good(client, "evaluate_variants", workspace="mine", variants=GRID)
        again = await good(client, "evaluate_variants", workspace="mine", variants=GRID)
        winner = await good(
            client, "get_evaluation", evaluation_id=found["winners"][0]["evaluation_id"]
        )
        child = await good(
            client, "open_workspace", definition=DEFINITION, start_from=found["start_from"]
        )
    names = {part["variant"] for part in found["winners"]}

    assert names == {"tile BLOCK=16", "tile BLOCK=64"}
    assert found["counts"]["fastest"] == 2 and found["counts"]["slower"] == 2
    assert winner["status"] == "PASSED" and winner["scope"] == "sample"
    assert "Chosen by rows" in found["summary"]
    main = (Path(child["workspace"]) / "main.py").read_text("utf-8")
    parts = [(Path(child["workspace"]) / f"part_{n}.py").read_text("utf-8") for n in (1, 2)]
    assert "if size <=" in main
    assert {part.splitlines()[0] for part in parts} == {"BLOCK = 16", "BLOCK = 64"}
    assert again["winners"] == found["winners"], "what was judged is not judged again"


async def test_variants_are_raced_and_judged_on_the_inputs_that_are_asked_for(
    connect: Any, gpu: ScriptedHarness
) -> None:
    operator = gpu.dataset.operator(DEFINITION)
    families = {"typical": "as usual", "even": "evenly"}
    policy = operator.policy.model_copy(update={"input_families": families})
    operators: Any = gpu.dataset.operators
    operators[DEFINITION] = replace(operator, policy=policy)
    asked: set[str] = set()

    def verdict(plan: Any) -> dict[str, Any]:
        if plan.checks.execute:
            asked.add(plan.checks.input_family)
        return on_gpu(plan)

    gpu.verdict = verdict
    async with connect() as client:
        await opened(client)
        wrong_name = await refused(
            client, "evaluate_variants", workspace="mine", variants=GRID, input_family="odd"
        )
        found = await good(
            client, "evaluate_variants", workspace="mine", variants=GRID, input_family="even"
        )
    assert "even" in wrong_name and asked == {"even"}
    assert "Timed on inputs even, which rank nowhere" in found["summary"]
    assert found["winners"] and "start_from" not in found


async def test_a_winner_that_fails_when_it_is_judged_gives_its_place_to_the_next(
    connect: Any, gpu: ScriptedHarness
) -> None:
    failure = Failure(stage=Stage.CORRECTNESS, kind="wrong", message="held-out", remedy="-")

    def verdict(plan: Any) -> dict[str, Any]:
        if plan.sealed_clock and values(plan) == (16, 1):
            return {
                "status": Status.INCORRECT_NUMERICAL,
                "stage": Stage.CORRECTNESS,
                "failure": failure,
            }
        return on_gpu(plan)

    gpu.verdict = verdict
    async with connect() as client:
        await opened(client)
        found = await good(client, "evaluate_variants", workspace="mine", variants=GRID)
    winners = {part["variant"] for part in found["winners"]}
    assert winners == {"tile BLOCK=32", "tile BLOCK=64"}
    assert found["counts"]["failed"] == 1 and "held-out" in found["summary"]


async def test_those_near_the_fastest_are_told_apart_by_calls_in_turn_and_a_tie_is_said_to_be_one(
    connect: Any, gpu: ScriptedHarness
) -> None:
    """Stages are 1 to 3; alone the second seems the fastest, in turn it is as fast as the first."""
    met: list[tuple[int, int]] = []

    def measured(plan: Any, us: float) -> Measurement:
        clock = TimeSource.SEALED if plan.sealed_clock else TimeSource.CLAIMED
        return Measurement(timer="cupti", cold_ns=[round(1_000 * us)] * 10, clock=clock)

    def stages_of(solution: Any) -> int:
        return int(re.findall(r"STAGES = (\d+)", solution["sources"][0]["content"])[0])

    def verdict(plan: Any) -> dict[str, Any]:
        found = on_gpu(plan)
        if not plan.checks.execute:
            return found
        stages = stages_of(plan.solution)
        alone = {1: 10.0, 2: 9.8, 3: 10.6}[stages]
        change: dict[str, Any] = {"measurement": measured(plan, alone)}
        if plan.baseline is not None and plan.scope == "smoke":
            other = stages_of(plan.baseline)
            met.append((stages, other))
            change["measurement"] = measured(plan, 10.5 if stages == 3 else 10.0)
            beside = measured(plan, 10.5 if other == 3 else 10.0)
            change["baseline_measurement"] = beside
        return {**found, "workloads": [r.model_copy(update=change) for r in found["workloads"]]}

    gpu.verdict = verdict
    async with connect() as client:
        await opened(client)
        grid = {"n": {"STAGES": [1, 2, 3]}}
        found = await good(client, "evaluate_variants", workspace="mine", variants=grid)
    assert met == [(2, 1), (2, 3)], "regimes where the same two meet are measured together"
    assert found["counts"] == {"fastest": 1, "tied": 1, "slower": 1}
    winner = found["winners"][0]
    assert winner["variant"] == "n STAGES=2" and winner["runner_up_us"] == winner["race_us"] == 10
    assert (
        "n STAGES=2, 10 µs, and n STAGES=1 does not differ: 0.0 % (0.0 to 0.0)" in found["summary"]
    )
    assert ", 5.0 % (5.0 to 5.0) before n STAGES=3" in found["summary"]
    assert "with n STAGES=2 on " in found["summary"]


@pytest.mark.parametrize("status", [Status.NOT_JUDGED, Status.INCORRECT_NUMERICAL])
async def test_finals_that_no_one_ends_leave_the_order_of_the_runs_and_say_so(
    connect: Any, gpu: ScriptedHarness, status: Status
) -> None:
    """The runner-up of a winner is no variant that failed, however fast it was."""
    failure = Failure(stage=Stage.CORRECTNESS, kind="-", message="in turn", remedy="-")

    def verdict(plan: Any) -> dict[str, Any]:
        found = on_gpu(plan)
        if plan.checks.execute and plan.baseline is not None and plan.scope == "smoke":
            return {"status": status, "stage": Stage.CORRECTNESS, "failure": failure}
        measurement = Measurement(timer="cupti", cold_ns=[10_000 + values(plan)[1]] * 10)
        change = {"measurement": measurement}
        rows = [r.model_copy(update=change) for r in found.get("workloads", ())]
        return {**found, "workloads": rows}

    gpu.verdict = verdict
    async with connect() as client:
        await opened(client)
        grid = {"n": {"STAGES": [1, 2]}}
        found = await good(client, "evaluate_variants", workspace="mine", variants=grid)
    winner, failed = found["winners"][0], status is Status.INCORRECT_NUMERICAL
    assert winner["variant"] == f"n STAGES={1 + failed}"
    assert ("runner_up_us" in winner) != failed
    assert ("no calls in turn could be timed" in found["summary"]) != failed


async def test_where_nothing_was_decided_no_source_is_to_be_corrected(
    connect: Any, gpu: ScriptedHarness
) -> None:
    failure = Failure(stage=Stage.CORRECTNESS, kind="-", message="no time", remedy="-")
    gpu.verdict = lambda plan: {
        "status": Status.NOT_JUDGED,
        "stage": Stage.CORRECTNESS,
        "failure": failure,
    }
    async with connect() as client:
        await opened(client)
        grid = {"n": {"STAGES": [1, 2]}}
        found = await good(client, "evaluate_variants", workspace="mine", variants=grid)
    assert found["counts"] == {"undecided": 2}
    assert "what is missing here" in found["summary"] and "correct" not in found["summary"]


async def test_a_run_of_some_workloads_says_so_in_no_row(
    connect: Any, gpu: ScriptedHarness
) -> None:
    def verdict(plan: Any) -> dict[str, Any]:
        found = on_gpu(plan)
        if plan.scope != "smoke":
            return found
        return {
            **found,
            "status": Status.PARTIAL,
            "partial_reason": "3 workloads were not asked for",
        }

    gpu.verdict = verdict
    async with connect() as client:
        await opened(client)
        found = await good(client, "evaluate_variants", workspace="mine", variants=GRID)
    assert found["counts"]["slower"] == 2 and "not asked for" not in found["summary"]


async def test_when_none_is_right_there_is_no_winner(connect: Any, gpu: ScriptedHarness) -> None:
    gpu.verdict = wrong
    async with connect() as client:
        await opened(client)
        found = await good(client, "evaluate_variants", workspace="mine", variants=GRID)
    assert found["counts"] == {"failed": 4} and "winners" not in found
    assert "start_from" not in found and "get_evaluation" in found["summary"]


async def test_workspaces_race_as_they_are(connect: Any, gpu: ScriptedHarness) -> None:
    async with connect() as client:
        await opened(client, "one", SOURCE.replace("64", "16"))
        await opened(client, "two")
        await opened(client, "three", SOURCE.replace("STAGES = 1", "STAGES = 2"))
        await opened(client, "same")
        found = await good(client, "evaluate_variants", workspaces=["one", "two", "three", "same"])
        twice = await refused(client, "evaluate_variants", workspaces=["one", "one"])
        alone = await refused(client, "evaluate_variants", variants=GRID)
    assert {part["variant"] for part in found["winners"]} == {"one", "two"}
    assert "same (as two)" in found["summary"]
    assert "named twice" in twice and "workspace" in alone


async def test_many_variants_are_compiled_for_the_device_before_they_race(
    connect: Any, gpu: ScriptedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_service, "COMPILED_FIRST", 4)
    async with connect() as client:
        await opened(client)
        found = await good(client, "evaluate_variants", workspace="mine", variants=GRID)
    assert found["counts"] == {"fastest": 2, "slower": 1, "pruned": 1}
    assert "spills 512 bytes" in found["summary"] and "without compiling" not in found["summary"]


async def test_a_call_that_ends_too_soon_is_answered_by_the_same_call(
    connect: Any, gpu: ScriptedHarness
) -> None:
    gpu.hold = anyio.Event()
    asked = {"workspace": "mine", "variants": GRID}
    async with connect() as client:
        await opened(client)
        running = await good(client, "evaluate_variants", **asked, wait_s=0)
        gpu.hold.set()
        done = await good(client, "evaluate_variants", **asked)
    assert running["status"] == "RUNNING" and "same call" in running["summary"]
    assert done["status"] == "DONE" and done["winners"]


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ({"a": {"BLOCK": list(range(200)), "STAGES": list(range(50))}}, "10000 variants"),
        ({"a": {"TURNS": [1]}}, "cannot be changed"),
        ({"a": {"run": [1]}}, "entry point"),
        ({"a": {"BLOCK": [{"x": [[[[[1]]]]]}]}}, "too large"),
        ({}, "No constant"),
    ],
)
async def test_hostile_constants_are_refused_in_words(
    connect: Any, harness: ScriptedHarness, variants: Any, words: str
) -> None:
    async with connect() as client:
        await opened(client)
        assert words in await refused(
            client, "evaluate_variants", workspace="mine", variants=variants
        )


@pytest.mark.long
async def test_a_long_table_keeps_to_the_budget(connect: Any, harness: ScriptedHarness) -> None:
    grid = {"tile": {"BLOCK": list(range(1, 129)), "STAGES": [1, 2]}}
    async with connect() as client:
        await opened(client)
        found = await good(
            client, "evaluate_variants", workspace="mine", variants=grid, scope="static"
        )
    assert found["counts"]["compiled"] + found["counts"]["pruned"] == 256
    assert "Showing 40 of 256" in found["summary"] and len(found["summary"]) < 6_000


async def test_where_the_hosts_gaps_hide_the_kernels_a_race_is_timed_on_sealed_replays(
    connect: Any, gpu: ScriptedHarness
) -> None:
    plans: list[Any] = []

    def two_launches(plan: Any) -> dict[str, Any]:
        """The candidate's own process sees the gap of 100 us between them, whatever varies."""
        plans.append(plan)
        found = on_gpu(plan)
        gap = {"called_ns" if plan.sealed_clock else "cold_ns": [100_000] * 10}
        timed = [
            result.model_copy(update={"measurement": result.measurement.model_copy(update=gap)})
            for result in found.get("workloads", ())
        ]
        return {**found, "workloads": timed} if timed else found

    def raced() -> set[bool]:
        return {
            plan.sealed_clock for plan in plans if plan.checks.execute and plan.scope == "smoke"
        }

    gpu.verdict = two_launches
    call: dict[str, Any] = {"workspace": "mine", "variants": GRID, "compare_to": "nothing"}
    async with connect() as client:
        await opened(client)
        blind = await good(client, "evaluate_variants", **call)
        assert raced() == {False} and "sealed replays" not in blind["summary"]
        plans.clear()
        await good(client, "evaluate_kernel", workspace="mine", compare_to="nothing")
        seeing = await good(client, "evaluate_variants", **call)
    assert raced() == {True} and "the race was timed on sealed replays" in seeing["summary"]
    times = {winner["variant"]: winner["race_us"] for winner in seeing["winners"]}
    assert set(times) == {"tile BLOCK=16", "tile BLOCK=64"} and max(times.values()) < 100
