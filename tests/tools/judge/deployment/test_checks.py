"""What is said of a program that is right and cannot be used as frameworks use one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.errors import CapabilityError, InfrastructureError
from kernel_harness.tools.judge.calls.judged_call import JudgedCall
from kernel_harness.tools.judge.deployment import checks
from kernel_harness.tools.judge.deployment.checks import (
    COMPILED,
    GRAPH,
    MEMORY,
    WAITS,
    DeploymentChecks,
    memory_finding,
)
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.judge.processes.progress import Cancellation, Reporter
from kernel_harness.tools.judge.trial_parts import TrialParts
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages.judge import Checks
from kernel_harness.tools.messages.launches import CallOnHost
from kernel_harness.tools.schema.evaluation import Severity, Status

from ....judging import make_plan, make_solution
from ..scripted import CASE, CPU, ScriptedSession, affine, honest, judged_call

HONEST = """
def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
"""
WAITING = f"import torch{HONEST}    torch.cuda.synchronize()\n"


class Deployed(ScriptedSession):
    """A right program on what is taken for a device.

    Args:
        faults: by the way in which it is called, the message of its fault or how it is lost.
        waits: what it says of the host; None: nothing is seen.
        wrong: ways in which its outputs are wrong.
    """

    def __init__(
        self,
        faults: dict[str, str | ProcessLost] | None = None,
        waits: list[str] | None = None,
        peak_bytes: int = 1 << 20,
        wrong: tuple[str, ...] = (),
    ) -> None:
        super().__init__(self._computed)
        self._faults, self._wrong = faults or {}, wrong
        self._on_host = CallOnHost(waits=waits, peak_bytes=peak_bytes)
        self.ways: list[str] = []

    def _computed(self, *arguments: Any) -> Any:
        y, row = honest(*arguments)
        return (y + 1 if self.ways[-1] in self._wrong else y), row

    def _call(self, request: wire.CallRequest) -> Any:
        self.ways.append(request.way)
        fault = self._faults.get(request.way)
        if isinstance(fault, ProcessLost):
            return fault
        if fault is not None:
            return wire.Called(fault=wire.CandidateFault(kind="exception", message=fault))
        called = super()._call(request)
        if request.way == "watched" and isinstance(called, wire.Called):
            return called.model_copy(update={"on_host": self._on_host})
        return called


def checked(
    session: ScriptedSession,
    start: Callable[[], JudgedCall] | None = None,
    *,
    interpreted: bool = False,
) -> DeploymentChecks:
    plan = make_plan(make_solution(HONEST, definition="affine_n64"))
    generator = InputGenerator(affine(), CPU, SeedBook(), PrefetchedInputs(1 << 20))
    context: Any = SimpleNamespace(interpreted=interpreted)
    parts = TrialParts(
        plan,
        context,
        generator,
        Reporter(lambda message: None, plan.evaluation_id),
        Cancellation(),
        random.Random(1),
        time.monotonic() + 60,
    )
    build = wire.BuildRequest.of(plan.solution, content_hash="0", argument_count=4, output_count=2)
    made = DeploymentChecks(start or (lambda: judged_call(session)), build, parts)
    made.run([CASE], session)
    return made


def warnings(made: DeploymentChecks) -> dict[str, str]:
    return {f.claim: f.message for f in made.findings if f.severity is not Severity.NOTE}


def test_an_honest_program_gets_no_warning_and_the_figure_of_its_memory():
    session = Deployed(waits=[])
    made = checked(session)
    assert not warnings(made) and not made.not_run
    assert sorted(made.done) == sorted((WAITS, MEMORY, COMPILED, GRAPH))
    (note,) = made.findings
    assert note.claim == MEMORY and note.evidence["peak_bytes"] == 1 << 20
    ways = ["called", "watched", "compiled", "compiled", "captured", "replayed"]
    assert session.ways == ways


@pytest.mark.parametrize(
    ("session", "claim", "words"),
    [
        (Deployed(waits=["cuCtxSynchronize"]), WAITS, "cuCtxSynchronize"),
        (Deployed(waits=[], peak_bytes=1 << 30), MEMORY, "1024 MiB"),
        (Deployed({"compiled": "wrong strides"}, waits=[]), COMPILED, "wrong strides"),
        (Deployed({"captured": "not permitted"}, waits=[]), GRAPH, "not permitted"),
        (Deployed(waits=[], wrong=("replayed",)), GRAPH, "on other values"),
        (Deployed(waits=[], wrong=("compiled",)), COMPILED, "torch.compile"),
    ],
)
def test_each_fault_is_one_warning_and_the_rest_is_checked(session, claim, words):
    made = checked(session)
    assert [*warnings(made)] == [claim] and words in warnings(made)[claim]
    assert {*made.done, claim} == {*checks.CLAIMS} and claim not in made.done


def test_a_process_that_is_lost_leaves_the_rest_unchecked_and_says_so():
    lost = ProcessLost("crash", "The candidate's process was killed.")
    made = checked(Deployed({"watched": lost}, waits=[]))
    assert not made.findings and set(made.not_run) == set(checks.CLAIMS)
    assert "killed" in made.not_run[GRAPH]


def test_what_fails_around_the_calls_costs_no_verdict(monkeypatch):
    def no_memory(self, input_set, options, at=None):
        raise InfrastructureError("Inputs could not be placed")

    monkeypatch.setattr(JudgedCall, "call", no_memory)
    made = checked(Deployed(waits=[]))
    assert not made.findings and "could not be placed" in made.not_run[WAITS]


@pytest.mark.parametrize("error", [InfrastructureError, CapabilityError])
def test_that_no_process_can_be_started_costs_no_verdict(error):
    def none_left() -> JudgedCall:
        raise error("No process could be started")

    made = checked(Deployed(waits=[]), none_left)
    made.close()
    assert not made.findings and "could be started" in made.not_run[GRAPH]


def test_waits_that_cannot_be_seen_are_not_called_none():
    made = checked(Deployed(waits=None))
    assert WAITS not in made.done and "cannot be seen" in made.not_run[WAITS]


@pytest.mark.parametrize(("peak", "own", "much"), [(70, 1, True), (70, 80, False), (60, 1, False)])
def test_memory_is_much_beyond_the_calls_own_and_a_bound(peak, own, much):
    found = memory_finding(peak << 20, own << 20)
    assert (found.severity is Severity.WARNING) is much


@pytest.mark.process
@pytest.mark.parametrize(("source", "waits"), [(HONEST, False), (WAITING, True)])
def test_without_a_gpu_waits_are_looked_for_and_the_rest_is_named(judge, source, waits):
    solution = make_solution(source, definition="affine_n64")
    plan = make_plan(solution, checks=Checks(trials=1, timed=False, deployment=True))
    record = judge.evaluate(plan)
    assert record.status is Status.PASSED, record.failure
    claims = [f.claim for f in record.integrity.findings]
    assert (WAITS in claims) is waits and (WAITS in record.integrity.checks) is not waits
    assert record.integrity.not_run[GRAPH] == checks.NEEDS_DEVICE
