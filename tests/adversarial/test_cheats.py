"""Every cheat meets what its header says, in one judge that survives them all."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kernel_harness.tools import wire

from ..judging import JudgeProcess, make_plan, make_solution
from .cheats import Cheat, every_cheat

pytestmark = pytest.mark.process
CALL_TIMEOUT_S = 3.0
GONE_WITHIN_S = 5.0


def running(mark: str) -> list[str]:
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


@pytest.mark.parametrize("cheat", every_cheat(), ids=lambda cheat: cheat.name)
def test_a_cheat_meets_what_its_header_says(cheat: Cheat, judge: JudgeProcess):
    expect = cheat.expect
    checks = wire.Checks(**{"trials": 1, "families": 0, "timed": False, **expect.get("checks", {})})
    solution = make_solution(
        cheat.source, definition="affine_n64", style=expect.get("style", "destination")
    )
    plan = make_plan(solution, checks=checks, call_timeout_s=CALL_TIMEOUT_S)
    evaluation = judge.evaluate(plan)
    assert evaluation.status == expect["status"], evaluation.failure
    if "kind" in expect:
        assert evaluation.failure is not None and evaluation.failure.kind == expect["kind"]
    if "claim" in expect:
        assert expect["claim"] in {finding.claim for finding in evaluation.integrity.findings}
    if "words" in expect:
        assert evaluation.failure is not None and expect["words"] in evaluation.failure.message
    if expect.get("held_out"):
        failure = evaluation.failure
        assert failure is not None and failure.held_out
        assert not failure.axes and failure.index is None and failure.workload_uuid is None
    if "gone" in expect:
        deadline = time.monotonic() + GONE_WITHIN_S
        while running(expect["gone"]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running(expect["gone"]) == []
    assert len(evaluation.log) <= 8_100
    if evaluation.failure is not None:
        assert evaluation.failure.message.strip() and evaluation.failure.remedy.strip()
