"""Attacks on time are refused or gain nothing; their honest twins are sealed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.measurement import Measurement, TimeSource

from ..adversarial.cheats import Cheat, every_cheat
from ..adversarial.expectations import clock_outcome, clock_plan, is_gone
from ..judging import JudgeProcess

pytestmark = [pytest.mark.gpu, pytest.mark.alone, pytest.mark.process]
FAMILY = {cheat.name: cheat for cheat in every_cheat() if cheat.family == "clock"}
HONEST = [cheat for cheat in FAMILY.values() if cheat.is_honest]
TWINS = [cheat for cheat in HONEST if cheat.expect["sealed"]]
CLAIMED = [cheat for cheat in HONEST if not cheat.expect["sealed"]]
ATTACKS = [cheat for cheat in FAMILY.values() if not cheat.is_honest]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeProcess]:
    process = JudgeProcess("cuda:0", tmp_path_factory.mktemp("judge-cache"))
    yield process
    process.close()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Any:
    """Prints a line that is shown, whatever becomes of the test."""

    def said(words: str) -> None:
        with capsys.disabled():
            print(f"\n  {words}", end="")  # noqa: T201

    return said


@pytest.mark.parametrize("cheat", TWINS, ids=lambda cheat: cheat.name)
def test_an_honest_call_has_a_sealed_time(cheat: Cheat, judge: JudgeProcess, say):
    measurement = measured(cheat, judge, say)
    if not cheat.expect.get("or_claimed"):
        assert measurement.clock is TimeSource.SEALED, measurement.clock_reason


@pytest.mark.parametrize("cheat", CLAIMED, ids=lambda cheat: cheat.name)
def test_an_honest_call_that_cannot_be_recorded_is_claimed_with_its_reason(
    cheat: Cheat, judge: JudgeProcess, say
):
    if cheat.expect["status"] == Status.PARTIAL:
        evaluation = judge.evaluate(clock_plan(cheat))
        assert evaluation.status is Status.PARTIAL, evaluation.failure
        assert cheat.expect["reason"] in (evaluation.partial_reason or "")
        return
    measurement = measured(cheat, judge, say)
    assert measurement.clock is TimeSource.CLAIMED
    assert cheat.expect["reason"] in (measurement.clock_reason or "")


def measured(cheat: Cheat, judge: JudgeProcess, say: Any) -> Measurement:
    """The times of an honest candidate, which must pass."""
    evaluation = judge.evaluate(clock_plan(cheat))
    assert evaluation.status is Status.PASSED, evaluation.failure
    measurement = evaluation.workloads[0].measurement
    assert measurement is not None
    seconds = evaluation.evidence.seconds["total"]
    say(f"{cheat.name}: {measurement.clock} {measurement.clock_reason or ''} {seconds}")
    return measurement


@pytest.mark.parametrize("cheat", ATTACKS, ids=lambda cheat: cheat.name)
def test_an_attack_on_time_is_refused_or_gains_nothing(cheat: Cheat, judge: JudgeProcess, say):
    evaluation = judge.evaluate(clock_plan(cheat, FAMILY[cheat.expect["twin"]]))
    outcome, ratio = clock_outcome(cheat, evaluation)
    measurement = evaluation.workloads[0].measurement
    reason = measurement.clock_reason if measurement else evaluation.failure
    seconds = evaluation.evidence.seconds["total"]
    say(
        f"{cheat.name}: {outcome} {ratio or 0:.3f} {seconds} {evaluation.log[-120:]} {reason or ''}"
    )
    assert "not mounted" not in evaluation.log, "it attacked nothing"
    assert outcome in cheat.expect["refused"], (outcome, ratio, reason, evaluation.log)
    if "gone" in cheat.expect:
        is_gone(cheat.expect["gone"])
