"""Plans that only compile are carried out several at once, and each has its own answer."""

from __future__ import annotations

import itertools
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kernel_harness.tools.judge.serving import static_trials
from kernel_harness.tools.judge.serving.static_trials import StaticTrials
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.schema.evaluation import Evaluation, Status

from ....judging import JudgeProcess, make_plan, make_solution

NUMBERS = itertools.count(1)
pytestmark = pytest.mark.process
STATIC = wire_judge.Checks(execute=False, timed=False, trials=1, static_targets=["sm_90"])
PYTHON = "def run(x, w, table, alpha, y, row):\n    y.zero_()\n"
TRITON = """
import triton
import triton.language as tl

WIDE = 64


@triton.jit
def kernel(x, y, n: tl.constexpr):
    at = tl.arange(0, n)
    tl.store(y + at, tl.load(x + at) * tl.no_such_word if n == 32 else tl.load(x + at))


def run(x, w, table, alpha, y, row):
    kernel[(1,)](x, y, WIDE)
"""


def static(source: str, language: str = "python") -> wire_judge.EvaluatePlan:
    solution = make_solution(source, definition="affine_n64", language=language)
    plan = make_plan(solution, checks=STATIC, scope="static")
    changes = {"side_by_side": True, "evaluation_id": f"ev-20260101-000000-{next(NUMBERS):08x}"}
    return plan.model_copy(update=changes)


def answers(judge: JudgeProcess, plans: list[Any]) -> dict[str, Any]:
    for plan in plans:
        judge.send(plan)
    found: dict[str, Any] = {}
    while len(found) < len(plans):
        message = judge.read()
        if isinstance(message, wire_judge.JudgeReport | wire_judge.JudgeFault):
            found[message.evaluation_id] = message
    return found


def records(judge: JudgeProcess, plans: list[wire_judge.EvaluatePlan]) -> list[Evaluation]:
    found = answers(judge, plans)
    return [Evaluation.model_validate(found[plan.evaluation_id].evaluation) for plan in plans]


def test_each_plan_is_reported_on_and_others_go_on_after_them(judge):
    raising = "raise RuntimeError('at import')\n" + PYTHON
    plans = [static(PYTHON), static(raising), static(PYTHON + "\n")]
    whole = make_plan(make_solution(PYTHON, definition="affine_n64"))
    fine, failed, again, judged = records(judge, [*plans, whole])
    assert fine.status is again.status is Status.COMPILED
    assert failed.status is not Status.COMPILED and failed.failure is not None
    assert judged.status is Status.INCORRECT_NUMERICAL


def test_a_plan_that_cannot_be_begun_is_a_fault_of_its_own(judge, tmp_path):
    broken = static(PYTHON).model_copy(update={"operator_dir": str(tmp_path / "nowhere")})
    definition = {**broken.definition, "reference": "this is no Python"}
    broken = broken.model_copy(update={"definition": definition})
    plan = static(PYTHON)
    found = answers(judge, [broken, plan])
    assert isinstance(found[plan.evaluation_id], wire_judge.JudgeReport)


PLAIN = """
import os

import triton
import triton.language as tl

print("compiled", any(len(name) == 52 for name in os.listdir(os.environ["TRITON_CACHE_DIR"])))


@triton.jit
def kernel(x, y, n: tl.constexpr):
    at = tl.arange(0, n)
    tl.store(y + at, tl.load(x + at) + tl.sum(tl.load(x + at)))


def run(x, w, table, alpha, y, row):
    kernel[(1,)](x, y, 64, num_warps=4, num_stages=1)
"""


def test_equal_code_is_told_whatever_it_was_asked_for(judge):
    """Each is compiled in a folder of its own, whose name is in the debug part of the code."""
    texts = [PLAIN, PLAIN.replace("stages=1", "stages=3"), PLAIN.replace("warps=4", "warps=8")]
    found = records(judge, [static(text, "triton") for text in (*texts, PYTHON)])
    plain, stages, warps, python = [record.static for record in found]
    assert plain and stages and warps and plain.status == "built", plain
    assert plain.machine_code and plain.machine_code == stages.machine_code
    assert warps.machine_code not in ("", plain.machine_code)
    assert python is None or python.machine_code == ""


def test_of_a_call_that_ends_early_no_code_is_told(judge):
    """What it would launch next may differ."""
    early = PLAIN + "    raise RuntimeError('early')\n"
    (found,) = records(judge, [static(early, "triton")])
    assert found.static and found.static.kernels and found.static.machine_code == ""


def test_what_was_compiled_for_a_race_is_there_in_its_first_run(judge):
    def of_race(plan: wire_judge.EvaluatePlan, race: str) -> wire_judge.EvaluatePlan:
        return plan.model_copy(update={"race": race})

    solution = make_solution(PLAIN, definition="affine_n64", language="triton")
    (compiled,) = records(judge, [of_race(static(PLAIN, "triton"), "r")])
    assert compiled.static and compiled.static.status == "built"
    run = of_race(make_plan(solution), "r")
    assert "compiled True" in judge.evaluate(run).log
    assert "compiled True" not in judge.evaluate(of_race(run, "")).log, "a judged trial"
    assert "compiled True" not in judge.evaluate(run).log


class Queued:
    """An inbox whose messages have all come."""

    def __init__(self, messages: list[Any]) -> None:
        self._messages = messages

    def pending(self) -> bool:
        return bool(self._messages)

    def next(self) -> Any:
        return self._messages.pop(0)

    def running(self, evaluation_id: str, cancellation: Any) -> None: ...

    def ended(self, evaluation_id: str) -> None: ...


class Compiling:
    """A trial that compiles until it was looked at some times, and notes how many there are."""

    under_way = 0
    most = 0

    def __init__(self, *_: Any) -> None:
        self._looks = 5
        Compiling.under_way += 1
        Compiling.most = max(Compiling.most, Compiling.under_way)

    def start_compilers(self) -> None: ...

    @property
    def compiling(self) -> bool:
        self._looks -= 1
        return self._looks > 0

    def run(self) -> Compiling:
        Compiling.under_way -= 1
        return self

    def model_dump(self, mode: str) -> dict[str, Any]:
        return {"dumped_as": mode}


@pytest.mark.parametrize(
    ("processors", "targets", "most"),
    [(16, ["sm_90"], 16), (16, ["sm_90", "sm_100"], 8), (1, ["sm_90"], 2), (224, ["sm_90"], 32)],
)
def test_as_many_compile_at_once_as_there_are_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, targets: list[str], most: int
) -> None:
    monkeypatch.setattr(static_trials, "Trial", Compiling)
    monkeypatch.setattr(static_trials, "POLL_S", 0.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    monkeypatch.setattr(Compiling, "most", 0)
    checks = STATIC.model_copy(update={"static_targets": targets})
    plans = [static(PYTHON).model_copy(update={"checks": checks}) for _ in range(40)]
    whole = make_plan(make_solution(PYTHON, definition="affine_n64"))
    inbox = Queued([*plans[1:], whole])
    sent: list[Any] = []
    channel = SimpleNamespace(send=sent.append)
    after = StaticTrials(cast("Any", None), cast("Any", channel), cast("Any", inbox)).run(plans[0])
    assert Compiling.most == most and after == whole
    reports = [message for message in sent if isinstance(message, wire_judge.JudgeReport)]
    assert sorted(r.evaluation_id for r in reports) == sorted(p.evaluation_id for p in plans)


@pytest.mark.long
def test_kernels_are_compiled_side_by_side_and_a_refusal_is_of_one(judge):
    plans = [static(TRITON.replace("WIDE = 64", f"WIDE = {n}"), "triton") for n in (16, 32, 64)]
    sixteen, refused, sixty_four = records(judge, plans)
    for built in (sixteen, sixty_four):
        assert built.status is Status.COMPILED
        assert built.static is not None and built.static.kernels[0].registers
    assert refused.status is Status.COMPILE_ERROR


@pytest.mark.long
def test_one_that_hangs_holds_up_no_other(judge):
    hanging = static(TRITON + "\n\nimport time\ntime.sleep(60)\n", "triton")
    hanging = hanging.model_copy(update={"build_timeout_s": 15.0})
    plans = [hanging, *(static(f"{TRITON}\n# {n}\n", "triton") for n in range(3))]
    found = answers(judge, plans)
    assert list(found)[-1] == hanging.evaluation_id
    (late,) = [Evaluation.model_validate(found[hanging.evaluation_id].evaluation)]
    assert late.status is Status.TIMEOUT


@pytest.mark.long
def test_a_cancelled_one_ends_and_the_others_do_not(judge):
    hanging = static(TRITON + "\n\nimport time\ntime.sleep(60)\n", "triton")
    plan = static(TRITON, "triton")
    judge.send(hanging)
    judge.send(plan)
    judge.send(wire_judge.Cancel(evaluation_id=hanging.evaluation_id))
    found = answers(judge, [])
    while len(found) < 2:
        message = judge.read()
        if isinstance(message, wire_judge.JudgeReport | wire_judge.JudgeFault):
            found[message.evaluation_id] = message
    assert "cancelled" in found[hanging.evaluation_id].what
    assert isinstance(found[plan.evaluation_id], wire_judge.JudgeReport)
