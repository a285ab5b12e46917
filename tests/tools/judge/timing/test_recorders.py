"""Both programs are recorded side by side; what goes wrong is a reason."""

from __future__ import annotations

import random
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    InputSet,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.operators.operator_adapter import Case
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.judge.processes.progress import Cancellation, Reporter
from kernel_harness.tools.judge.replay.recorded_call import NotRecordedError
from kernel_harness.tools.judge.timing.recorders import (
    ORDINARY_CALLS,
    WATCHED_CALLS,
    RecordedProgram,
    Recorders,
)
from kernel_harness.tools.judge.trial_parts import TrialParts
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages.launch_plan import ARENA_BASE

from ....judging import make_plan, make_solution
from ...driver.fakes import make_cubin
from ...messages.plans import plan_with_scratch
from ..replay.test_recorded_call import file_of
from ..scripted import CASE, CPU, ScriptedSession, affine, honest

PLAN, FILE = plan_with_scratch(make_cubin(("first",), {"counter": 4}))
SOURCE = "def run(x, w, table, alpha, y, row):\n    pass\n"


class Session(ScriptedSession):
    """Answers in order, notes what happens when; records a plan, or says why not."""

    def __init__(self, name: str, log: list[str], compute: Any = honest, reason: str = "") -> None:
        super().__init__(compute)
        self.name, self.events, self.reason = name, log, reason
        self.answers: list[Any] = []
        self.inputs: list[list[int]] = []

    def ask(self, message: Any, fds: Any = ()) -> None:
        if isinstance(message, wire.RecordRequest):
            self.events.append(f"{self.name} records")
            self.answers.append(self._recording())
            return
        if isinstance(message, wire.CallRequest):
            self.events.append(f"{self.name} {'timed' if message.time != 'none' else 'called'}")
        super().ask(message, fds)
        self.answers.append(self._answer)

    def answer(self, kind: Any, timeout_s: float) -> Any:
        found = self.answers.pop(0)
        assert isinstance(found, (kind, ProcessLost))
        if kind is wire.Called:
            self.events.append(f"{self.name} answered")
        return found

    def recorded(self, timeout_s: float) -> Any:
        return self.answers.pop(0)

    def _recording(self) -> Any:
        if self.reason:
            return wire.Recorded(reason=self.reason), []
        fd, nbytes = file_of(PLAN, FILE)
        return wire.Recorded(plan_bytes=nbytes), [fd]


def wrong(x, w, table, alpha):
    y, row = honest(x, w, table, alpha)
    return y + 1.0, row


class Recording:
    """The recorders of two scripted programs, and how often inputs were drawn for them."""

    def __init__(
        self,
        ours: dict[str, Any],
        theirs: dict[str, Any],
        *,
        baseline: bool = True,
        **options: Any,
    ) -> None:
        self.events: list[str] = []
        self.sessions = {
            False: Session("candidate", self.events, **ours),
            True: Session("baseline", self.events, **theirs),
        }
        solution = make_solution(SOURCE, definition="affine_n64")
        plan = make_plan(solution, baseline=solution, **options)
        context = SimpleNamespace(
            device=CPU, arch="90a", info=SimpleNamespace(memory_bytes=8 << 30)
        )
        self.generator = InputGenerator(affine(), CPU, SeedBook(), PrefetchedInputs(1 << 20))
        self.drawn = 0
        parts = TrialParts(
            plan,
            context,  # pyright: ignore[reportArgumentType]
            self.generator,
            Reporter(lambda message: None, plan.evaluation_id),
            Cancellation(),
            random.Random(3),
            time.monotonic() + 60,
        )
        build = wire.BuildRequest.of(
            solution.model_dump(mode="json"), content_hash="0", argument_count=6, output_count=2
        )
        self.recorders = Recorders(
            parts, lambda baseline: (self.sessions[baseline], build), lambda *a: None
        )
        self.recorders.start([CASE], baseline=baseline)

    def record(self) -> dict[bool, RecordedProgram]:
        def drawn() -> InputSet:
            self.drawn += 1
            return self.generator.generate(CASE)

        return self.recorders.record(CASE, drawn)

    def record_early(self, count: int = 1) -> None:
        """Has a call recorded in the thread."""
        draw = self.generator.unrecorded
        self.recorders.record_early([(draw(CASE), draw(CASE)) for _ in range(count)])

    @property
    def unread(self) -> int:
        return sum(len(session.answers) for session in self.sessions.values())


def test_both_are_recorded_side_by_side_and_timed_one_after_another():
    found = Recording({}, {})
    programs = found.record()
    assert programs.keys() == {False, True}
    assert [e for e in found.events if "timed" not in e][:6] == [
        "candidate called",
        "baseline called",
        "candidate answered",
        "baseline answered",
        "candidate records",
        "baseline records",
    ]
    timed = found.events[6:]
    each = [
        f"{name} {what}"
        for name in ("candidate", "baseline")
        for what in ("timed", "answered") * (ORDINARY_CALLS + WATCHED_CALLS)
    ]
    assert timed == each
    assert [len(p.called_ns) for p in programs.values()] == [ORDINARY_CALLS] * 2
    assert all(p.activities and p.recorded.checked.plan.kernels for p in programs.values())


def test_calls_that_are_watched_follow_each_other_at_a_drawn_place_and_their_times_do_not_count():
    found = Recording({}, {})
    places = set()
    for _ in range(20):
        for session in found.sessions.values():
            session.requests.clear()
            session._spans = [1_000]
        programs = found.record()
        for baseline, session in found.sessions.items():
            asked = [r for r in session.requests if r.time != "none"]
            watched = [number for number, r in enumerate(asked) if r.watched]
            assert watched == [*range(watched[0], watched[0] + WATCHED_CALLS)]
            places.add(watched[0])
            program = programs[baseline]
            assert (
                len(program.watched) == WATCHED_CALLS and len(program.called_ns) == ORDINARY_CALLS
            )
            assert {r.defer for r in asked if not r.watched} == {*range(ORDINARY_CALLS)}
    assert places == {*range(ORDINARY_CALLS + 1)}


def test_a_watched_call_says_where_its_tensors_lay():
    found = Recording({}, {})
    program = found.record()[False]
    request = next(r for r in found.sessions[False].requests if r.watched)
    places = {name: begin - ARENA_BASE for name, begin, _ in program.watched[0].tensors}
    assert places["out:y"] == request.outputs[0].offset
    assert places["in:x"] == getattr(request.arguments[0], "offset", None)
    assert "does not tell" in program.watched[0].watched.dropped_for


def test_both_see_the_same_inputs_each_once():
    found = Recording({}, {})
    found.record()
    assert found.drawn == 2 + ORDINARY_CALLS
    found.record()
    assert found.drawn == 2 * (2 + ORDINARY_CALLS) and found.unread == 0


def test_a_baseline_whose_calls_are_kept_is_not_started():
    found = Recording({}, {}, baseline=False)
    assert found.recorders.records(baseline=False) and not found.recorders.records(baseline=True)
    assert found.record().keys() == {False}
    assert not [event for event in found.events if event.startswith("baseline")]


WRONG = [
    pytest.param({"reason": "it waits for the device"}, {}, "waits for the device", id="no-plan"),
    pytest.param({}, {"reason": "it waits for the device"}, "waits for the device", id="baseline"),
    pytest.param({"compute": wrong}, {}, "fails in the process that records", id="wrong"),
    pytest.param({}, {"compute": wrong}, "fails in the process that records", id="wrong-baseline"),
]


@pytest.mark.parametrize(("candidate", "baseline", "words"), WRONG)
def test_what_goes_wrong_is_a_reason_and_no_answer_is_left_unread(candidate, baseline, words):
    found = Recording(candidate, baseline)
    with pytest.raises(NotRecordedError, match=words):
        found.record()
    assert found.unread == 0


def test_calls_are_recorded_in_a_thread_that_a_record_waits_for():
    found = Recording({}, {})
    found.record_early()
    found.record()
    called = ["candidate called", "baseline called", "candidate answered", "baseline answered"]
    assert found.events[:6] == [*called, "candidate records", "baseline records"]
    assert found.drawn == ORDINARY_CALLS and found.unread == 0


def test_a_wrong_first_call_is_the_reason_of_its_workload():
    found = Recording({"compute": wrong}, {})
    found.record_early()
    with pytest.raises(NotRecordedError, match="fails in the process that records"):
        found.record()
    assert not [event for event in found.events if "records" in event]


def test_the_end_waits_for_the_thread_whose_memory_it_frees():
    found = Recording({}, {})
    began, go_on = threading.Event(), threading.Event()

    def slow(*arguments):
        began.set()
        assert go_on.wait(10)
        return honest(*arguments)

    session = found.sessions[False]
    session._compute = slow
    found.record_early(3)
    assert began.wait(10)
    session.close = lambda: (go_on.set(), setattr(session, "closed", True))[0]
    found.recorders.close()
    assert session.closed and found.events.count("candidate called") == 1


def test_nothing_is_recorded_after_the_end():
    found = Recording({}, {})
    found.recorders.close()
    assert all(session.closed for session in found.sessions.values())
    with pytest.raises(NotRecordedError, match="no process that records"):
        found.record()


def other(m: int) -> Case:
    return Case(f"affine-{m}", {"m": m}, scalars={"alpha": 0.5})


@pytest.mark.parametrize("kept_s", [0.0, 5.0])
def test_workloads_that_are_not_timed_are_not_recorded_after_all(kept_s):
    found = Recording({}, {}, baseline=False, timing_s=kept_s)
    session, (began, go_on) = found.sessions[False], (threading.Event(), threading.Event())

    def slow(*arguments):
        began.set()
        assert go_on.wait(10)
        return honest(*arguments)

    session._compute = slow
    draw = found.generator.unrecorded
    cases = [CASE, other(3), other(5)]
    found.recorders.record_early([(draw(case), draw(case)) for case in cases])
    assert began.wait(10)
    found.recorders.only([CASE, other(5)])
    threading.Timer(0.2, go_on.set).start()
    found.record()
    early = found.events.index("candidate timed")
    # Where little time is kept for timing the rest is recorded when its turn comes.
    assert found.events[:early].count("candidate records") == (1 if kept_s else 2)
