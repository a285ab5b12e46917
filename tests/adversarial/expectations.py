"""Runs one cheat and holds what became of it against its header."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kernel_harness.tools.evaluation.comparison import latency
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.schema.measurement import Measurement

from ..judging import JudgeProcess, make_plan, make_solution
from .cheats import Cheat

CALL_TIMEOUT_S = 60.0
"""Long, for a busy machine is no fault of a cheat; those that hang ask for less."""
GONE_WITHIN_S = 30.0


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
        _is_gone(expect["gone"])
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
    if "words" in expect:
        assert evaluation.failure is not None and expect["words"] in evaluation.failure.message


def plan_for(cheat: Cheat) -> wire_judge.EvaluatePlan:
    """The plan that a cheat's header asks for."""
    expect = cheat.expect
    checks = wire_judge.Checks(
        **{"trials": 1, "families": 0, "timed": False, **expect.get("checks", {})}
    )
    solution = make_solution(
        cheat.sources,
        definition="affine_n64",
        style=expect.get("style", "destination"),
        language=expect.get("language", "python"),
        entry_point=f"{next(iter(cheat.sources))}::run",
    )
    options = {"call_timeout_s": CALL_TIMEOUT_S, **expect.get("plan", {})}
    return make_plan(solution, checks=checks, **options)


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


def _is_gone(mark: str) -> None:
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
