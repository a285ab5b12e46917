"""The judge's process as its server sees it: frames, verdicts, cancellation, faults of its own."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import signal
import textwrap
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from safetensors import safe_open

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.evaluation.plan import replay_checks
from kernel_harness.tools.judge import main as judge_main
from kernel_harness.tools.judge.main import serve
from kernel_harness.tools.judge.operators import input_sets
from kernel_harness.tools.judge.serving.channel import fault
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.schema.drawn_inputs import InputSource, RandomGenerator
from kernel_harness.tools.schema.evaluation import Stage, Status

from ...judging import (
    AFFINE,
    JudgeProcess,
    make_plan,
    make_solution,
    read_definition,
    read_workloads,
)

pytestmark = pytest.mark.process

HONEST = """
def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
"""
TRITON = """
import triton
import triton.language as tl


@triton.jit
def kernel(x, w, table, alpha, y, row, n: tl.constexpr):
    m = tl.program_id(0)
    at = tl.arange(0, n)
    source = tl.load(table + m)
    value = tl.load(x + source * n + at) * tl.load(w + at) * alpha + BIAS
    tl.store(y + m * n + at, value)
    tl.store(row + m, tl.sum(value))


def run(x, w, table, alpha, y, row):
    if x.shape[0]:
        kernel[(x.shape[0],)](x, w, table, alpha, y, row, x.shape[1])
"""


def honest(**options):
    return make_plan(make_solution(HONEST, definition="affine_n64"), **options)


def evaluate(judge: JudgeProcess, source, **options):
    style = options.pop("style", "destination")
    language = options.pop("language", "python")
    solution = make_solution(source, definition="affine_n64", style=style, language=language)
    return judge.evaluate(make_plan(solution, **options))


# --- verdicts ---------------------------------------------------------------------------------


def test_readiness_tells_the_device_and_what_isolates_candidates(judge):
    assert judge.ready.device["executor"] == "interpreter"
    assert "torch" in judge.ready.versions
    assert judge.ready.isolation["granted"]


def test_an_honest_candidate_passes_on_every_workload_and_is_not_timed(judge):
    evaluation = judge.evaluate(honest())
    assert evaluation.status is Status.PASSED and evaluation.stage is Stage.DONE
    assert [w.status for w in evaluation.workloads] == [Status.PASSED] * 4
    assert all(w.latency_us is None and "no GPU" in (w.reason or "") for w in evaluation.workloads)
    assert evaluation.not_timed_reason and "no GPU" in evaluation.not_timed_reason


def test_the_record_holds_what_repeats_the_verdict(judge):
    evaluation = judge.evaluate(honest(command="evaluate_kernel(...)"))
    evidence = evaluation.evidence
    for result in evaluation.workloads:
        assert len(evidence.seeds[result.uuid]) == result.calls_checked
        assert len(evidence.families[result.uuid]) == result.calls_checked
        assert {error.output for error in result.errors} == {"y", "row"}
    assert evidence.command == "evaluate_kernel(...)" and evidence.started_at
    assert {"spawn", "build", "correctness", "total"} <= set(evidence.seconds)
    assert evidence.isolation is not None and "writes_stay_inside" in evaluation.integrity.checks


def test_every_evaluation_draws_anew(judge):
    first, second = judge.evaluate(honest()), judge.evaluate(honest())
    assert first.evidence.seeds != second.evidence.seeds


def again(judge, evaluation, source=HONEST):
    """The same sources judged with the recorded seeds, as a replay asks for it."""
    return judge.evaluate(
        make_plan(
            make_solution(source, definition="affine_n64"),
            checks=replay_checks(evaluation),
            replay_seeds=evaluation.evidence.seeds,
            replay_families=evaluation.evidence.families,
        )
    )


def test_every_recorded_draw_can_be_made_again(judge):
    checks = wire_judge.Checks(
        trials=2, families=2, held_out=3, determinism_runs=3, correctness_budget=60, timed=False
    )
    first = judge.evaluate(honest(checks=checks))
    assert sum(len(seeds) for seeds in first.evidence.seeds.values()) >= 50
    second = again(judge, first)
    assert second.status is Status.PASSED
    assert second.evidence.seeds == first.evidence.seeds
    assert second.evidence.families == first.evidence.families


def test_a_fault_on_one_family_is_found_again_whichever_was_drawn(judge):
    source = HONEST.replace("+ 1.0", "+ (1.0 if (x.abs() < 100).all() else 1.1)")
    checks = wire_judge.Checks(trials=1, families=2, held_out=2, timed=False)
    first = evaluate(judge, source, checks=checks)
    assert first.status is Status.INCORRECT_NUMERICAL and first.failure is not None
    second = again(judge, first, source)
    assert second.failure == first.failure
    assert second.evidence.families == first.evidence.families


def test_a_wrong_result_says_where_and_what(judge):
    source = HONEST + "    y[1:, 60:] += 1\n"
    evaluation = evaluate(judge, source)
    failure = evaluation.failure
    assert evaluation.status is Status.INCORRECT_NUMERICAL and failure is not None
    assert failure.output == "y" and failure.axes == {"m": 3}
    assert failure.mismatched == 8 and failure.total == 192
    assert failure.cluster is not None and "last 4 (60-63) of n" in failure.cluster
    assert isinstance(failure.expected, float) and isinstance(failure.got, float)


def test_quick_failures_are_shown_for_all_workloads_slow_ones_end_the_trial(judge):
    evaluation = evaluate(judge, HONEST.replace("+ 1.0", "+ 1.5"))
    assert [w.status for w in evaluation.workloads][0] is Status.PASSED
    assert {w.status for w in evaluation.workloads[1:]} <= {
        Status.INCORRECT_NUMERICAL,
        Status.NOT_RUN,
    }


def test_value_returning_candidates_are_told_of_wrong_shape_and_dtype(judge):
    shape = "def run(x, w, table, alpha):\n    return x[:1], x[:, 0]\n"
    evaluation = evaluate(judge, shape, style="value")
    assert evaluation.status is Status.INCORRECT_SHAPE
    assert evaluation.failure is not None and evaluation.failure.output == "y"
    dtype = (
        "def run(x, w, table, alpha):\n"
        "    y = x[table.long()] * w * alpha + 1.0\n    return y.half(), y.sum(dim=-1)\n"
    )
    assert evaluate(judge, dtype, style="value").status is Status.INCORRECT_DTYPE


@pytest.mark.parametrize(
    ("source", "status", "kind"),
    [
        ("def run(x, w:\n    pass\n", Status.COMPILE_ERROR, "syntax_error"),
        ("import no_such_library\n" + HONEST, Status.COMPILE_ERROR, "import_error"),
        ("def other(x):\n    pass\n", Status.INVALID_CANDIDATE, "entry_point"),
        ("def run(x, y):\n    pass\n", Status.INVALID_CANDIDATE, "signature"),
        (HONEST + "\n    raise KeyError('gone')\n", Status.RUNTIME_ERROR, "exception"),
    ],
)
def test_a_fault_is_named_with_what_to_do(judge, source, status, kind):
    evaluation = evaluate(judge, source)
    assert evaluation.status is status and evaluation.failure is not None
    assert evaluation.failure.kind == kind and evaluation.failure.remedy
    assert all(w.status is not Status.PASSED for w in evaluation.workloads[1:])


def test_a_triton_candidate_runs_in_the_interpreter(judge):
    source = TRITON.replace("BIAS", "1.0")
    assert evaluate(judge, source, language="triton").status is Status.PASSED


def test_a_wrong_triton_candidate_is_found(judge):
    evaluation = evaluate(judge, TRITON.replace("BIAS", "1.1"), language="triton")
    assert evaluation.status is Status.INCORRECT_NUMERICAL


def test_an_operator_without_a_folder_is_judged_by_its_reference(judge):
    workloads = [
        {"uuid": "g", "axes": {"m": 6}, "inputs": {"alpha": {"type": "scalar", "value": 0.5}}}
    ]
    definition = read_definition(AFFINE).model_dump(mode="json")
    definition["reference"] = (
        "def run(x, w, table, alpha):\n    y = x * w * alpha + 1.0\n    return y, y.sum(dim=-1)\n"
    )
    source = HONEST.replace("x[table.long()]", "x")
    plan = make_plan(
        make_solution(source, definition="affine_n64"), generic=True, workloads=workloads
    ).model_copy(update={"definition": definition})
    evaluation = judge.evaluate(plan)
    assert evaluation.status is Status.PASSED
    assert evaluation.evidence.input_source == InputSource(generator=RandomGenerator.PHILOX)
    earlier = {"replay_seeds": evaluation.evidence.seeds, "replay_generator": "torch"}
    again = judge.evaluate(plan.model_copy(update=earlier))
    assert again.status is Status.PASSED
    assert again.evidence.input_source == InputSource()
    wrong = make_solution(source.replace("1.0", "1.1"), definition="affine_n64")
    plan = plan.model_copy(update={"solution": wrong.model_dump(mode="json")})
    assert judge.evaluate(plan).status is Status.INCORRECT_NUMERICAL


# --- budget and scopes ------------------------------------------------------------------------


def test_workloads_beyond_the_budget_are_not_run_and_say_why(judge):
    slow = HONEST.replace("def run(", "import time\n\n\ndef run(").replace(
        "    y.copy_", "    time.sleep(0.02 * len(x))\n    y.copy_"
    )
    evaluation = evaluate(
        judge, slow, budget_s=2.0, checks=wire_judge.Checks(trials=1, timed=False)
    )
    states = {w.uuid: w for w in evaluation.workloads}
    assert states["affine-3"].status is Status.PASSED
    assert states["affine-64"].status is Status.NOT_RUN
    assert "budget" in (states["affine-64"].reason or "")
    assert evaluation.status is Status.PARTIAL
    assert "1 of 4 workloads" in (evaluation.partial_reason or "")


def test_a_candidate_that_sleeps_through_the_budget_does_not_pass(judge):
    source = """
        import time

        calls = []

        def run(x, w, table, alpha, y, row):
            if not calls:
                calls.append(time.sleep(2.0))
                y.copy_(x[table.long()] * w * alpha + 1.0)
                row.copy_(y.sum(dim=-1))
    """
    checks = wire_judge.Checks(trials=1, held_out=2, timed=False)
    evaluation = evaluate(judge, textwrap.dedent(source), budget_s=2.0, checks=checks)
    assert evaluation.status is Status.PARTIAL
    assert {w.status for w in evaluation.workloads[1:]} == {Status.NOT_RUN}


def test_checks_leave_the_time_that_the_plan_keeps_for_timing(judge):
    slow = HONEST.replace("    y.copy_", "    import time; time.sleep(0.6)\n    y.copy_")
    checks = wire_judge.Checks(trials=1, families=0, timed=False)
    whole = evaluate(judge, slow, budget_s=5.0, checks=checks)
    assert whole.status is Status.PASSED
    kept = evaluate(judge, slow, budget_s=5.0, timing_s=4.0, checks=checks)
    assert kept.status is Status.PARTIAL and kept.workloads[0].status is Status.PASSED
    assert kept.workloads[-1].status is Status.NOT_RUN


def test_a_trial_beyond_its_end_is_a_timeout_that_keeps_what_was_right(judge):
    stuck = HONEST.replace(
        "    y.copy_", "    import time; time.sleep(len(x) // 60 * 50)\n    y.copy_"
    )
    checks = wire_judge.Checks(trials=1, families=0, timed=False)
    began = time.monotonic()
    found = evaluate(judge, stuck, budget_s=60.0, ends_after_s=4.0, checks=checks)
    assert time.monotonic() - began < 20
    assert found.status is Status.TIMEOUT and found.failure is not None
    assert "4 s" in found.failure.message
    states = {w.uuid: w.status for w in found.workloads}
    assert states["affine-3"] is Status.PASSED and states["affine-64"] is not Status.PASSED
    assert judge.evaluate(honest(ends_after_s=60.0)).status is Status.PASSED


def test_held_out_workloads_that_did_not_fit_are_no_pass(judge):
    source = HONEST + "    time.sleep(1.2)\n"
    one = [w for w in read_workloads(AFFINE) if w["axes"]["m"] == 3]
    checks = wire_judge.Checks(trials=1, families=0, held_out=2, timed=False)
    evaluation = evaluate(
        judge, "import time\n" + source, budget_s=2.0, checks=checks, workloads=one
    )
    assert [w.status for w in evaluation.workloads] == [Status.PASSED]
    assert evaluation.status is Status.PARTIAL
    assert "held-out" in (evaluation.partial_reason or "")


def test_a_pass_is_not_said_of_a_part_of_the_scope(judge):
    evaluation = judge.evaluate(honest(left_out=["another"]))
    assert evaluation.status is Status.PARTIAL
    assert "1 workload of the scope was not" in (evaluation.partial_reason or "")


def test_a_trial_in_which_nothing_ran_is_never_a_pass(judge):
    evaluation = judge.evaluate(honest(budget_s=0.0))
    assert evaluation.status is Status.NOT_JUDGED and evaluation.failure is not None
    assert "cpu_budget_s" in evaluation.failure.message
    assert "the reference had used up" in evaluation.failure.message
    assert {w.status for w in evaluation.workloads} == {Status.NOT_RUN}


def test_nothing_that_a_process_leaves_among_its_kernels_reaches_the_held_out_cases(judge):
    source = """
import os
import pathlib

NOTE = pathlib.Path(os.environ["TRITON_CACHE_DIR"], "A" * 52, "note.json")
TOKEN = os.urandom(8).hex()


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    if NOTE.exists() and NOTE.read_text() != TOKEN:
        y.zero_()
    NOTE.parent.mkdir(parents=True, exist_ok=True)
    if not NOTE.exists():
        NOTE.write_text(TOKEN)
"""
    checks = wire_judge.Checks(trials=1, families=0, held_out=2, timed=False)
    evaluation = evaluate(judge, source, checks=checks, public_workloads=read_workloads(AFFINE))
    assert evaluation.status is Status.PASSED, evaluation.failure
    assert "held_out" in evaluation.integrity.checks


def test_an_operator_can_be_checked_before_any_candidate(judge):
    definition = read_definition(AFFINE).model_dump(mode="json")
    head = "def run(x, w, table, alpha):\n"
    definition["reference"] = head + "    return x * 0, x.sum(dim=-1)\n"
    shown = read_workloads(AFFINE)
    request = wire_judge.CheckOperator(
        request_id="check-1", definition=definition, operator_dir=None, workloads=shown, limit_s=9
    )
    judge.send(request)
    answer = judge.read()
    assert isinstance(answer, wire_judge.OperatorChecked) and answer.request_id == "check-1"
    assert ["'y' of affine_n64 does not depend" in problem for problem in answer.problems] == [True]


def slow_reference(seconds: float, **options: Any):
    """A plan of the generic operator whose reference sleeps; inputs need it twice."""
    definition = read_definition(AFFINE).model_dump(mode="json")
    head = f"def run(x, w, table, alpha):\n    import time; time.sleep({seconds})\n"
    body = "    y = x[table.long() % len(x)] * w * alpha + 1.0\n    return y, y.sum(dim=-1)\n"
    definition["reference"] = head + body
    source = HONEST.replace("table.long()", "table.long() % len(x)")
    checks = wire_judge.Checks(trials=1, families=0, timed=False)
    solution = make_solution(source, definition="affine_n64")
    changes = {"generic": True, "definition": definition, "checks": checks, **options}
    return make_plan(solution, **changes)


def test_a_slow_reference_takes_nothing_of_the_candidates_time(judge):
    one = [w for w in read_workloads(AFFINE) if w["axes"]["m"] == 17]
    evaluation = judge.evaluate(slow_reference(0.2, workloads=one, budget_s=0.3))
    assert evaluation.status is Status.PASSED, evaluation.failure
    seconds, budgets = evaluation.evidence.seconds, evaluation.evidence.budgets
    assert seconds["reference"] > budgets["candidate"] == budgets["reference"] == 0.3
    assert seconds["candidate"] < seconds["reference"]


def test_a_reference_that_is_too_slow_is_named_with_its_share_and_not_the_candidate(judge):
    evaluation = judge.evaluate(slow_reference(0.15, budget_s=0.5))
    assert evaluation.status is Status.PARTIAL and evaluation.failure is None
    reason = evaluation.partial_reason or ""
    assert "the reference" in reason and "its own budget of 0.5 s" in reason
    assert "candidate" not in reason


def test_scope_static_builds_and_runs_nothing(judge):
    checks = wire_judge.Checks(execute=False, timed=False)
    source = HONEST.replace("    y.copy_", "    raise RuntimeError('it ran')\n    y.copy_")
    evaluation = evaluate(judge, source, checks=checks, scope="static")
    assert evaluation.status is Status.COMPILED and evaluation.static is not None
    assert {w.status for w in evaluation.workloads} == {Status.NOT_RUN}
    broken = evaluate(judge, "import gone_library\n" + HONEST, checks=checks, scope="static")
    assert broken.status is Status.COMPILE_ERROR


def test_a_triton_candidate_is_compiled_for_targets_that_are_not_here(judge):
    targets = wire_judge.Checks(timed=False, static_targets=["sm_90", "sm_100"])
    source = TRITON.replace("BIAS", "1.0")
    one = [w for w in read_workloads(AFFINE) if w["axes"]["m"] == 17]
    for _ in range(2):
        evaluation = evaluate(judge, source, language="triton", checks=targets, workloads=one)
        assert evaluation.status is Status.PASSED and evaluation.static is not None
        assert evaluation.static.status == "built", evaluation.static.reason
        kernels = evaluation.static.kernels
        assert {k.target for k in kernels} == {"sm_90", "sm_100"}
        assert all(k.registers and k.instructions for k in kernels)


def test_scope_static_refuses_a_kernel_that_does_not_compile_for_a_target(judge):
    checks = wire_judge.Checks(execute=False, timed=False, static_targets=["sm_90"])
    source = TRITON.replace("BIAS", "no_such_name")
    evaluation = evaluate(judge, source, language="triton", checks=checks, scope="static")
    assert evaluation.status is Status.COMPILE_ERROR and evaluation.failure is not None
    assert "no_such_name" in (evaluation.failure.excerpt or "")
    assert evaluation.static is not None and set(evaluation.static.failures) == {"sm_90"}


def test_cuda_without_a_gpu_is_no_fault_of_the_kernel(judge):
    source = {"kernel.cu": 'extern "C" __global__ void k() {}\n'}
    solution = make_solution(
        source, definition="affine_n64", language="cuda", entry_point="kernel.cu::k"
    )
    evaluation = judge.evaluate(make_plan(solution))
    assert evaluation.status in (Status.NOT_JUDGED, Status.COMPILE_ERROR)
    assert {w.status for w in evaluation.workloads} == {Status.NOT_RUN}


def test_determinism_is_graded(judge):
    checks = wire_judge.Checks(trials=1, determinism_runs=3, timed=False)
    assert judge.evaluate(honest(checks=checks)).integrity.determinism == "bitwise"
    noisy = HONEST.replace("def run(", "import torch\n\n\ndef run(").replace(
        "+ 1.0)", "+ 1.0 + 3e-7 * torch.randint(2, (1,), device=x.device))"
    )
    evaluation = evaluate(judge, noisy, checks=wire_judge.Checks(determinism_runs=8, timed=False))
    assert evaluation.integrity.determinism == "within_tolerance"


def test_a_result_that_is_sometimes_wrong_is_called_flaky(judge):
    source = HONEST + "    _calls.append(1)\n    if len(_calls) == 8:\n        y[0] += 1\n"
    source = "_calls = []\n" + source
    checks = wire_judge.Checks(trials=1, families=0, determinism_runs=8, timed=False)
    one = [w for w in read_workloads(AFFINE) if w["axes"]["m"] == 17]
    evaluation = evaluate(judge, source, checks=checks, workloads=one)
    assert evaluation.status is Status.INCORRECT_NUMERICAL
    assert evaluation.failure is not None and evaluation.failure.kind == "flaky"
    assert evaluation.integrity.determinism == "flaky"


def test_a_rare_fault_is_found_when_many_calls_are_asked_for(judge):
    source = "import random\n" + HONEST + "    if random.random() < 0.05:\n        row.zero_()\n"
    one = [w for w in read_workloads(AFFINE) if w["axes"]["m"] == 17]
    checks = wire_judge.Checks(trials=1, families=0, correctness_budget=300, timed=False)
    evaluation = evaluate(judge, source, checks=checks, workloads=one)
    assert evaluation.status is Status.INCORRECT_NUMERICAL


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/cache/x"), "No space left"),
        (InfrastructureError("The zygote died", remedy="Evaluate again."), "The zygote died"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError"),
    ],
)
def test_a_fault_of_the_harness_says_what_to_do(error, words):
    said = fault("ev-1", error, cancelled=False)
    assert words in said.what and said.remedy
    assert "cancelled" in fault("ev-1", error, cancelled=True).what


@dataclass
class Requests:
    """An inbox that says what comes, and that nothing comes in time."""

    left: list[Any]
    hurry: bool = False

    def next(self, patience_s: float | None = None) -> Any:
        return self.left.pop(0)

    def pending(self) -> bool:
        return bool(self.left)

    def hurried(self, evaluation_id: str) -> bool:
        return self.hurry


def test_a_judge_without_work_ends_its_prewarmed_processes():
    context = MagicMock()
    serve(context, MagicMock(), Requests([None, wire_judge.Shutdown()]))  # pyright: ignore[reportArgumentType]
    context.end_prewarmed.assert_called_once_with()


class LastingTrial:
    """Refers to itself, as the objects of a trial do to one another."""

    generator, cases = None, ()

    def __init__(self) -> None:
        self.itself = self


def test_a_judge_knows_whether_a_trial_came_as_soon_as_it_was_ready(monkeypatch):
    came: list[bool] = []

    def evaluate(*arguments: Any) -> LastingTrial:
        came.append(context.without_pause)
        return LastingTrial()

    context = MagicMock(interpreted=False)
    monkeypatch.setattr(judge_main, "_evaluate", evaluate)
    monkeypatch.setattr(input_sets, "prefetch_inputs", lambda *arguments: None)
    clock = iter([1.0, 10.0, 10.1, 20.0, 30.0, 40.0, 50.0])
    monkeypatch.setattr(judge_main, "time", MagicMock(monotonic=lambda: next(clock)))
    left = [honest(), honest(), honest(), wire_judge.Shutdown()]
    serve(context, MagicMock(), Requests(left))  # pyright: ignore[reportArgumentType]
    assert came == [False, True, False], "nothing came before the first"


@pytest.mark.parametrize("hurry", [False, True])
def test_only_who_waits_for_the_device_is_spared_what_a_trial_leaves(monkeypatch, hurry):
    """A trial that is short of memory, or is to time, does it itself."""
    made: list[weakref.ref[LastingTrial]] = []

    def evaluate(*arguments: Any) -> LastingTrial:
        trial = LastingTrial()
        made.append(weakref.ref(trial))
        return trial

    context, kept, patience = MagicMock(interpreted=False), [], []
    context.drain.side_effect = lambda hurried: patience.append(not hurried())
    context.prewarm.side_effect = lambda hurried: kept.append(made[0]() is not None)
    monkeypatch.setattr(judge_main, "_evaluate", evaluate)
    monkeypatch.setattr(input_sets, "prefetch_inputs", lambda *arguments: None)
    gc.disable()  # or it may happen to run
    try:
        serve(context, MagicMock(), Requests([honest(), wire_judge.Shutdown()], hurry))  # pyright: ignore[reportArgumentType]
    finally:
        gc.enable()
    assert (patience, kept) == ([not hurry], [hurry])


@pytest.mark.parametrize("kind", [wire_judge.MaterialiseInputs, wire_judge.CheckOperator])
def test_what_is_no_trial_waits_for_the_processes_of_the_last_one(monkeypatch, kind):
    """It has no time of its own for that, and may need the memory."""
    context = MagicMock()
    for name in ("_materialise", "_check_operator"):
        monkeypatch.setattr(judge_main, name, lambda message, context: context.answered())
    requests = Requests([kind.model_construct(), wire_judge.Shutdown()])
    serve(context, MagicMock(), requests)  # pyright: ignore[reportArgumentType]
    called = [name for name, *_ in context.mock_calls]
    assert called.index("drain") < called.index("answered")


# --- the stream -------------------------------------------------------------------------------


def test_progress_only_grows(judge):
    judge.evaluate(honest())
    done = [progress.done for progress in judge.progress]
    assert done == sorted(done) and len(set(done)) == len(done)
    assert all(p.message and p.done < p.total for p in judge.progress)


def test_a_long_call_is_told_of_every_two_seconds(judge):
    slow = HONEST.replace("def run(", "import time\n\n\ndef run(").replace(
        "    y.copy_", "    time.sleep(3.0 if len(x) == 3 else 0)\n    y.copy_"
    )
    times = []
    solution = make_solution(slow, definition="affine_n64")
    checks = wire_judge.Checks(trials=1, timed=False)
    judge.ask(
        make_plan(solution, checks=checks, budget_s=3.0),
        lambda progress: times.append(time.monotonic()),
    )
    assert max(b - a for a, b in zip(times, times[1:], strict=False)) < 2.5


def test_a_cancelled_trial_ends_at_once_and_the_judge_goes_on(judge):
    source = "import time\n\n\ndef run(x, w, table, alpha, y, row):\n    time.sleep(60)\n"
    plan = make_plan(make_solution(source, definition="affine_n64"))
    cancelled = []

    def cancel(progress: wire_judge.Progress) -> None:
        if "checking" in progress.message and not cancelled:
            cancelled.append(time.monotonic())
            judge.send(wire_judge.Cancel(evaluation_id=plan.evaluation_id))

    answer = judge.ask(plan, cancel)
    assert isinstance(answer, wire_judge.JudgeFault) and "cancelled" in answer.what
    assert time.monotonic() - cancelled[0] < 3
    assert judge.evaluate(honest()).status is Status.PASSED


def test_a_faulty_operator_is_the_harness_fault_with_its_file(judge, tmp_path):
    folder = shutil.copytree(AFFINE, tmp_path / "affine")
    (folder / "oracle.py").write_text("raise OSError('half a file')\n")
    answer = judge.ask(make_plan(make_solution(HONEST, definition="affine_n64"), folder))
    assert isinstance(answer, wire_judge.JudgeFault)
    assert "half a file" in answer.what and answer.where.endswith("oracle.py")


def test_an_oracle_that_raises_is_the_harness_fault(judge, tmp_path):
    folder = shutil.copytree(AFFINE, tmp_path / "affine")
    (folder / "oracle.py").write_text("def oracle(**_):\n    return 1 / 0\n")
    answer = judge.ask(make_plan(make_solution(HONEST, definition="affine_n64"), folder))
    assert isinstance(answer, wire_judge.JudgeFault)


def test_inputs_can_be_written_to_a_file_with_their_scalars(judge, tmp_path):
    path = tmp_path / "inputs" / "one.safetensors"
    judge.send(
        wire_judge.MaterialiseInputs(
            request_id="r1",
            definition=read_definition(AFFINE).model_dump(mode="json"),
            operator_dir=str(AFFINE),
            workload=read_workloads(AFFINE)[2],
            seed=7,
            path=str(path),
        )
    )
    answer = judge.read()
    assert isinstance(answer, wire_judge.Materialised) and answer.error is None
    with safe_open(str(path), framework="pt") as stored:
        assert sorted(stored.keys()) == ["table", "w", "x"]
        assert stored.get_tensor("x").shape == (17, 64)
        assert json.loads(stored.metadata()["scalars"]) == {"alpha": 0.5}


def test_inputs_that_cannot_be_written_are_said_to_be_so(judge):
    judge.send(
        wire_judge.MaterialiseInputs(
            request_id="r2",
            definition=read_definition(AFFINE).model_dump(mode="json"),
            operator_dir=str(AFFINE),
            workload=read_workloads(AFFINE)[1],
            seed=7,
            path="/proc/no/such/place.safetensors",
        )
    )
    answer = judge.read()
    assert isinstance(answer, wire_judge.Materialised) and answer.error


def zygote_of(judge: JudgeProcess) -> int:
    """The process whose forks run candidates; another one's forks compile them."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in judge.children()}
    (found,) = [pid for pid, command in commands.items() if b"--interpret" in command]
    return found


@pytest.mark.long
def test_a_zygote_that_is_killed_costs_one_trial_at_most(judge):
    os.kill(zygote_of(judge), signal.SIGKILL)
    assert judge.evaluate(honest()).status is Status.PASSED

    def kill_zygote(progress):
        if progress.message == "building":
            os.kill(zygote_of(judge), signal.SIGKILL)

    slow = make_solution("import time\ntime.sleep(1.5)\n" + HONEST, definition="affine_n64")
    answer = judge.ask(make_plan(slow), on_progress=kill_zygote)
    assert isinstance(answer, wire_judge.JudgeFault) and answer.remedy
    assert judge.evaluate(honest()).status is Status.PASSED


@pytest.mark.long
def test_a_judge_whose_server_goes_away_leaves_nothing_behind(tmp_path):
    judge = JudgeProcess("cpu", tmp_path)
    assert judge.children()
    judge.close()  # fails where one of them is left, for every judge of these tests
