"""No dead ends: over all kinds of record a next step exists, can be done, and contradicts none."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from kernel_harness.server.answers.evaluation.next_steps import next_steps
from kernel_harness.server.mcp_tools.registry import ENTRIES
from kernel_harness.tools.evaluation import plan
from kernel_harness.tools.judge.checks import failures, integrity, not_judged
from kernel_harness.tools.schema.evaluation import (
    UNFAILED,
    DeviceInfo,
    Evaluation,
    Evidence,
    Executor,
    Failure,
    Scope,
    Stage,
    StaticCheck,
    StaticKernel,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.measurement import Measurement, TimeSource, Totals
from kernel_harness.tools.settings import Settings
from tests.records import STARTED, make_record

TOOLS = {name: entry.function for name, entry in ENTRIES.items()}
SOURCES = {"workspace", "solution", "candidate"}
"""Arguments of which a tool that has them needs one."""
GPU = DeviceInfo(name="H200", executor=Executor.CUDA, compute_capability="9.0")
CPU = DeviceInfo(name="CPU", executor=Executor.INTERPRETER)
DEVICES = {"gpu": GPU, "cpu": CPU, "unknown": None}
ELSEWHERE = "on a machine with an NVIDIA GPU"
BLAMES = re.compile(r"\b(Fix|Final for|change the kernel|Remove what)\b")
STATUSES = [status for status in Status if status is not Status.NOT_RUN]
STATIC = {
    "none": None,
    "built": StaticCheck(
        status="built", kernels=[StaticKernel(name="k", target=t) for t in ("sm_90", "sm_100")]
    ),
    "for another device": StaticCheck(
        status="built", kernels=[StaticKernel(name="k", target="sm_100")]
    ),
    "failed": StaticCheck(status="failed", failures={"sm_90": "no"}),
}


def remedies() -> Iterator[tuple[Status, str, str]]:
    """Status, kind and remedy of every failure that the judge and the service word themselves."""
    for table in (failures.BUILD_REMEDIES, failures.CALL_REMEDIES):
        for kind, (status, remedy) in table.items():
            yield status, kind, remedy
    for kind, remedy in not_judged.REMEDIES.items():
        yield Status.NOT_JUDGED, kind, remedy
    for claim, remedy in integrity.REMEDIES.items():
        yield Status.INTEGRITY_VIOLATION, claim, remedy


REMEDIES = {(status, kind): remedy for status, kind, remedy in remedies()}


def record(status: Status, scope: Scope, device: DeviceInfo | None, **fields: Any) -> Evaluation:
    """A record of that status, with what the test changes."""
    if status is Status.PARTIAL:
        fields.setdefault("partial_reason", "2 of 5 workloads were not run: no time")
    evidence = Evidence(started_at=STARTED, device=device)
    return make_record(
        status, **{"definition": "gdn_decode", "scope": scope, "evidence": evidence, **fields}
    )


def failing() -> Iterator[tuple[str, Evaluation]]:
    """Every status by scope, machine and language, with each static check, stage and kind."""
    for status, scope, (machine, device) in itertools.product(STATUSES, Scope, DEVICES.items()):
        for language, (checked, static) in itertools.product(("triton", "cuda"), STATIC.items()):
            place = f"{status} {scope} {machine} {language} static {checked}"
            yield place, record(status, scope, device, language=language, static=static)
            if status in UNFAILED or static is not None:
                continue
            for stage, kind in failures_of(status, machine):
                remedy = REMEDIES.get((status, kind), "Read the excerpt.")
                failure = Failure(stage=stage, kind=kind, message="m", remedy=remedy)
                failed = record(status, scope, device, language=language, failure=failure)
                yield f"{place} {stage} {kind}", failed


def failures_of(status: Status, machine: str) -> Iterator[tuple[Stage, str]]:
    """Stage and kind of failures with that status: each stage, and each kind told on a machine."""
    yield from ((stage, "other") for stage in Stage)
    elsewhere = not_judged.ONLY_WITHOUT_GPU if machine == "gpu" else ("cuda_error",)
    kinds = [kind for known, kind in REMEDIES if known is status and kind not in elsewhere]
    yield from ((Stage.CORRECTNESS, kind) for kind in kinds)


def passing() -> Iterator[tuple[str, Evaluation]]:
    """Passes on a GPU: by scope, clock, what they were compared with, and what was gained."""
    intervals = {"gained": (1.1, 1.2), "lost": (0.8, 0.9), "open": (0.9, 1.1), "none": None}
    scopes = [scope for scope in Scope if scope is not Scope.STATIC]
    for scope, clock, baseline in itertools.product(scopes, TimeSource, ("peer", None)):
        for gain, interval in intervals.items():
            if baseline is None and interval is not None:
                continue
            measured = Measurement(timer="cupti", cold_ns=[4_000], clock=clock)
            result = WorkloadResult(
                uuid="3daa0974-0000",
                axes={"batch": 1},
                status=Status.PASSED,
                latency_us=4.0,
                measurement=measured,
            )
            totals = Totals(passed=1, mean_latency_us=4.0, ratio_interval=interval)
            fields = {"workloads": [result], "totals": totals, "baseline": baseline}
            yield (
                f"PASSED {scope} {clock} {baseline} {gain}",
                record(Status.PASSED, scope, GPU, **fields),
            )


@functools.cache
def records() -> tuple[tuple[str, Evaluation], ...]:
    """All of them, made when a test of this file first needs them."""
    return *failing(), *passing()


def kind_of(evaluation: Evaluation) -> str:
    """The kind of its failure; empty where nothing failed."""
    return evaluation.failure.kind if evaluation.failure else ""


def calls_in(step: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tools that a step calls, with their arguments; `…` stands for what the reader knows."""
    for match in re.finditer(r"(?<![\w.])([a-z]+(?:_[a-z]+)+)\(([^)]*)\)", step):
        written = match[0].replace("…", "...").replace("=true", "=True")
        call = ast.parse(written, mode="eval").body
        assert isinstance(call, ast.Call) and not call.args, match[0]
        named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        yield match[1], named


@functools.cache
def arguments(tool: str) -> dict[str, TypeAdapter[Any]]:
    """What validates each argument of a tool."""
    hints = typing.get_type_hints(TOOLS[tool], include_extras=True)
    names = [name for name in inspect.signature(TOOLS[tool]).parameters if name != "ctx"]
    return {name: TypeAdapter(hints[name]) for name in names}


def illegal(tool: str, named: dict[str, Any]) -> str | None:
    """Why the tool would refuse the call; None when it would not."""
    if tool not in TOOLS:
        return f"there is no tool {tool}"
    parameters = dict(inspect.signature(TOOLS[tool]).parameters)
    parameters.pop("ctx")
    if unknown := named.keys() - parameters.keys():
        return f"{tool} takes no {unknown}"
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in named]
    if missing or (SOURCES & parameters.keys() and not SOURCES & named.keys()):
        return f"{tool} needs {missing or SOURCES}"
    for name, value in named.items():
        if value is not ...:
            arguments(tool)[name].validate_python(value)
    return None


@pytest.mark.parametrize(
    ("tool", "named"),
    [
        ("evaluate_kernel", {"workspace": ..., "scop": "smoke"}),
        ("evaluate_kernel", {"scope": "smoke"}),
        ("archive_candidate", {"workspace": ..., "evaluation_id": "ev-1"}),
        ("check_kernel", {}),
    ],
)
def test_a_call_that_a_tool_refuses_is_told(tool: str, named: dict[str, Any]) -> None:
    assert illegal(tool, named) is not None


def test_every_kind_of_record_has_next_steps_that_the_tools_accept() -> None:
    for place, evaluation in records():
        steps = next_steps(evaluation)
        assert steps and all(step.strip() for step in steps), place
        assert len(set(steps)) == len(steps), place
        for step in steps:
            for tool, named in calls_in(step):
                assert illegal(tool, named) is None, f"{place}: {step}"
            for setting in re.findall(r"\w+_budget_s", step):
                assert setting in Settings.model_fields, place


def test_no_next_step_asks_for_what_the_machine_cannot_do() -> None:
    for place, evaluation in records():
        steps, device = next_steps(evaluation), evaluation.evidence.device
        told = " ".join(steps)
        called = [call for step in steps for call in calls_in(step)]
        scopes = [str(named["scope"]) for tool, named in called if tool == "evaluate_kernel"]
        if device is GPU:
            assert ELSEWHERE not in told and "cpu_budget_s" not in told, place
        else:
            tools = {tool for tool, _ in called}
            assert not tools & {"profile_ncu", "profile_timeline", "sanitize"}, place
            assert "times it" not in told and "gpu_budget_s" not in told, place
        unable = evaluation.language == "cuda" and device is not GPU
        repeated = evaluation.status in (Status.INTERRUPTED, Status.PARTIAL, Status.PASSED)
        if unable and not repeated and kind_of(evaluation) != "nothing_ran":
            assert set(scopes) <= {"static"}, place


def test_no_two_next_steps_of_an_answer_contradict_each_other() -> None:
    undecided = (Status.NOT_JUDGED, Status.INVALID_REFERENCE, Status.INFRASTRUCTURE_ERROR)
    for place, evaluation in records():
        steps = next_steps(evaluation)
        told = " ".join(steps)
        if evaluation.status in (*undecided, Status.INTERRUPTED, Status.PARTIAL, Status.COMPILED):
            assert not BLAMES.search(told) and "archive_candidate" not in told, place
        if "unchanged" in told or "when you want" in told:
            assert not BLAMES.search(told), place
        promotes = "promote_candidate" in told
        sealed = (clock := evaluation.sealing) is not None and clock.source is TimeSource.SEALED
        assert not promotes or (evaluation.status is Status.PASSED and sealed), place
        assert not (promotes and "never promote" in told), place
        if evaluation.status is Status.PASSED and evaluation.scope is not Scope.STATIC:
            order = list(Scope)
            later = [order.index(Scope(s)) for s in re.findall(r"scope='(\w+)'", told)]
            assert all(scope >= order.index(evaluation.scope) for scope in later), place
        if evaluation.status is Status.RUNNING:
            assert len(steps) == 1 and "get_evaluation" in told, place
        if evaluation.status is Status.INVALID_CANDIDATE:  # the archive may refuse its sources
            assert "archive_candidate" not in told, place


def test_a_gain_that_is_sealed_leads_to_promotion_and_a_claimed_one_does_not() -> None:
    told = {place: " ".join(next_steps(evaluation)) for place, evaluation in passing()}
    assert "promote_candidate" in told["PASSED full sealed peer gained"]
    assert "scope='full'" in told["PASSED sample sealed peer gained"]
    for scope in ("sample", "full", "official"):
        assert "Claimed times" in told[f"PASSED {scope} claimed peer gained"]
    assert "compared with nothing" in told["PASSED full sealed None none"]
    assert "Not shown to be faster" in told["PASSED full sealed peer open"]


def test_a_record_that_counts_for_nothing_is_judged_again_and_neither_kept_nor_promoted() -> None:
    for place, evaluation in records():
        steps = next_steps(evaluation, "its key is not trusted here")
        called = [tool for step in steps for tool, _ in calls_in(step)]
        assert called == ["evaluate_kernel"], place


def test_the_records_tried_hold_every_status_and_every_scope_of_a_plan() -> None:
    assert {e.status for _, e in records()} == set(STATUSES)
    assert {e.scope for _, e in records()} == set(plan.CHECKS)
