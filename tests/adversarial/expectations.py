"""Runs one cheat and holds what became of it against its header."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kernel_harness.tools.evaluation.comparison import compare, latency
from kernel_harness.tools.judge.checks.integrity import LAUNCHES
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.schema.evaluation import Evaluation, Executor, Status
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.schema.measurement import Measurement, Objective, TimeSource

from ..judging import AFFINE, JudgeProcess, make_plan, make_solution, read_workloads
from .cheats import Cheat

CALL_TIMEOUT_S = 60.0
"""Long, for a busy machine is no fault of a cheat; those that hang ask for less."""
GONE_WITHIN_S = 30.0
LARGE = [{**read_workloads(AFFINE)[3], "uuid": "affine-large", "axes": {"m": 1 << 16}}]
"""The workload on which attacks on time are timed: long enough for two per cent to be seen."""
MOST_GAIN = 1.02
OUTCOMES = ("claimed", "untimed", "no gain", "gain")
CLOCK_CHECKS = wire_judge.Checks(
    trials=1, families=0, pairs_per_block=12, max_pairs=24, half_width=0.005, warm_calls=7
)


def meets_its_header(cheat: Cheat, judge: JudgeProcess) -> None:
    """Fails the test where the record differs from the header."""
    expect = cheat.expect
    evaluation = judge.evaluate(plan_for(cheat))
    assert evaluation.status in (expect["status"], expect.get("or")), evaluation.failure
    if evaluation.status == expect["status"]:
        _is_explained(expect, evaluation)
    if expect.get("held_out"):
        _hides_the_case(evaluation)
    if "gone" in expect:
        is_gone(expect["gone"])
    if "never_shown" in expect:
        assert not any(expect["never_shown"] in text for text in _texts(evaluation.model_dump()))
    if "latency_at_least_us" in expect:
        timed = [w.measurement for w in evaluation.workloads if w.measurement is not None]
        assert timed or expect.get("or_no_latency")
        _were_seen_to_take(timed, expect["latency_at_least_us"])
    assert len(evaluation.log) <= 8_100
    if evaluation.failure is not None:
        assert evaluation.failure.message.strip() and evaluation.failure.remedy.strip()


def _is_explained(expect: Mapping[str, Any], evaluation: Evaluation) -> None:
    if "kind" in expect:
        assert evaluation.failure is not None and evaluation.failure.kind == expect["kind"]
    if "claim" in expect:
        assert expect["claim"] in {finding.claim for finding in evaluation.integrity.findings}
    device = evaluation.evidence.device
    if expect.get("verified") and device is not None and device.executor is Executor.INTERPRETER:
        assert LAUNCHES in evaluation.integrity.checks, evaluation.integrity.not_run
    elif expect.get("claim") == LAUNCHES:
        assert LAUNCHES in evaluation.integrity.not_run
    if "words" in expect:
        assert evaluation.failure is not None and expect["words"] in evaluation.failure.message


def plan_for(cheat: Cheat) -> wire_judge.EvaluatePlan:
    """The plan that a cheat's header asks for."""
    expect = cheat.expect
    checks = wire_judge.Checks(
        **{"trials": 1, "families": 0, "timed": False, **expect.get("checks", {})}
    )
    options = {"call_timeout_s": CALL_TIMEOUT_S, **expect.get("plan", {})}
    if "sizes" in expect:
        every = read_workloads(AFFINE)
        options["workloads"] = [w for w in every if w["axes"]["m"] in expect["sizes"]]
    return make_plan(solution_of(cheat), checks=checks, **options)


def solution_of(cheat: Cheat) -> Solution:
    """What a cheat hands in."""
    expect = cheat.expect
    return make_solution(
        cheat.sources,
        definition="affine_n64",
        style=expect.get("style", "destination"),
        language=expect.get("language", "python"),
        binding=expect.get("binding"),
        entry_point=f"{next(iter(cheat.sources))}::run",
    )


def clock_plan(cheat: Cheat, twin: Cheat | None = None) -> wire_judge.EvaluatePlan:
    """A plan that times a candidate of the family `clock`, an attack beside its honest twin."""
    return make_plan(
        solution_of(cheat),
        baseline=solution_of(twin) if twin else None,
        checks=CLOCK_CHECKS.model_copy(update={"objective": _ranked_by(cheat)}),
        workloads=LARGE,
        **{"call_timeout_s": 10.0, "budget_s": 20.0, **cheat.expect.get("plan", {})},
    )


def _ranked_by(cheat: Cheat) -> Objective:
    """The times that tell its gain, taken in pairs where so few as stand beside would not do.

    Seven clean samples a side differed by -1.0 and by 2.8 per cent in two runs of one attack.
    """
    return Objective.CLEAN if cheat.expect.get("told") == "clean_ns" else Objective.COLD


def clock_outcome(cheat: Cheat, evaluation: Evaluation) -> tuple[str, float | None]:
    """What an attack on time came to: a status other than PASSED or one of `OUTCOMES`.

    Returns:
        The outcome, and how many times faster than its twin it was told to be, where both were
        timed. A claimed time counts for nothing beside the sealed one that its twin has alone.
    """
    if evaluation.status is not Status.PASSED:
        return evaluation.status.value, None
    (workload,) = evaluation.workloads
    ours, theirs = workload.measurement, workload.baseline_measurement
    if ours is None or theirs is None:
        return "untimed", None
    told = cheat.expect.get("told", "cold_ns")
    if told == "warm_ns":
        ratio = float(np.median(getattr(theirs, told)) / np.median(getattr(ours, told)))
    else:
        found = compare(theirs, ours, {})
        if found is None or found.ratio is None:
            return "untimed", None
        ratio = found.ratio
    if ours.clock is not TimeSource.SEALED:
        return "claimed", ratio
    return ("no gain" if ratio <= MOST_GAIN else "gain"), ratio


def _texts(value: Any) -> Iterator[str]:
    """Every string in a record."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from (*_texts(name), *_texts(item))
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)


def _hides_the_case(evaluation: Evaluation) -> None:
    failure = evaluation.failure
    assert failure is not None and failure.held_out
    assert not failure.axes and failure.index is None and failure.workload_uuid is None


def is_gone(mark: str) -> None:
    """Fails the test where a process with this mark is left."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while _running(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _running(mark) == []


def _running(mark: str) -> list[str]:
    """Ids of processes whose command line holds the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark.encode() in words:
                found.append(entry.name)
    return found


def _were_seen_to_take(timed: Sequence[Measurement], least_us: float) -> None:
    for measurement in timed:
        found = latency(measurement)
        assert found is not None and found[0] >= least_us
