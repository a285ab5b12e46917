"""What is kept of a baseline belongs to one operator and one content, and has its bounds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.operators.operator_adapter import Case
from kernel_harness.tools.judge.timing.programs import kept_baseline as module
from kernel_harness.tools.judge.timing.programs.kept_baseline import (
    BaselineKey,
    KeptBaseline,
    give_back,
    take_kept,
)
from kernel_harness.tools.messages.judge import Checks

from .....judging import AFFINE, make_plan, make_solution
from ..test_sealed_timing import CASE, ScriptedRecorders, ScriptedRunner

SOURCE = "def run(x, w, table, alpha, y, row):\n    pass\n"
SOLUTION = make_solution(SOURCE, definition="affine_n64")
OTHER = make_solution(SOURCE + "\n", definition="affine_n64")
KEY = BaselineKey("{}", "b" * 64)


def context(memory: int = 1 << 40) -> Any:
    info = SimpleNamespace(memory_bytes=memory)
    return SimpleNamespace(device=torch.device("cpu"), info=info, kept_baseline=None)


def plan(baseline: Any = SOLUTION, **more: Any) -> Any:
    own = baseline.content_hash() if baseline else None
    fields: dict[str, Any] = {"own_baseline_hash": own, "scope": "sample"} | more
    return make_plan(SOLUTION, baseline=baseline, **fields)


def runners(count: int = 2) -> Any:
    return [ScriptedRunner() for _ in range(count)]


def recorded() -> Any:
    return ScriptedRecorders().record(None, None)[True]


def test_what_a_trial_gives_back_the_next_of_the_same_baseline_takes():
    judge = context()
    kept = take_kept(judge, plan())
    assert kept is not None and judge.kept_baseline is None
    kept.keep(CASE, recorded(), 1 << 20)
    kept.put(runners())
    give_back(judge, kept)
    assert judge.kept_baseline is kept
    assert take_kept(judge, plan(scope="smoke")) is kept and kept.holds([CASE])
    assert judge.kept_baseline is None, "it is the trial's meanwhile"


@pytest.mark.parametrize(
    "more",
    [
        {"own_baseline_hash": None},
        {"own_baseline_hash": OTHER.content_hash()},
        {"scope": "full"},
        {"scope": "official"},
        {"sealed_clock": False},
        {"baseline": None},
        {"replay_seeds": {"a": [1]}},
        {"race": "r"},
    ],
)
def test_nothing_is_kept_of_others_baselines_or_for_records_that_promote(more):
    assert take_kept(context(), plan(**more)) is None


def test_another_operator_ends_it_and_another_baseline_replaces_it():
    judge = context()
    kept = take_kept(judge, plan())
    assert kept is not None
    kept.put(made := runners())
    give_back(judge, kept)
    other = take_kept(judge, plan(OTHER))
    assert other is not None and other is not kept and not made[0].ended
    give_back(judge, other)
    assert judge.kept_baseline is other and all(r.closed for r in made)

    other.put(made := runners())
    definition = plan().definition | {"name": "another"}
    found = take_kept(judge, plan(definition=definition))
    assert found is not other and judge.kept_baseline is None and all(r.closed for r in made)


@pytest.mark.parametrize("change", ["folder", "file", "family"])
def test_inputs_that_may_lie_otherwise_end_it(change, tmp_path):
    """Launches hold strides: inputs of an edited inputs.py may have others at the same sizes."""
    judge = context()
    folder = shutil.copytree(AFFINE, tmp_path / "operator")
    kept = take_kept(judge, plan(operator_dir=str(folder)))
    assert kept is not None
    kept.keep(CASE, recorded(), 1 << 20)
    kept.put(made := runners())
    give_back(judge, kept)
    more = {}
    if change == "folder":
        folder = shutil.copytree(folder, tmp_path / "own")
    elif change == "file":
        (folder / "inputs.py").write_text("def generate(axes, device, seed):\n    ...\n")
    else:
        more["checks"] = Checks(input_family="even")
    found = take_kept(judge, plan(operator_dir=str(folder), **more))
    assert found is not None and not found.holds([CASE]) and all(r.closed for r in made)


def test_it_is_dropped_when_little_memory_is_free(monkeypatch):
    judge = context()
    kept = take_kept(judge, plan())
    assert kept is not None
    kept.put(made := runners())
    give_back(judge, kept)
    monkeypatch.setattr(module, "little_is_free", lambda device: True)
    assert take_kept(judge, plan()) is not kept and all(r.closed for r in made)


def test_runners_that_take_more_memory_than_they_may_are_ended():
    contexts = 2 * module.CONTEXT_BYTES
    kept = KeptBaseline(KEY, contexts + (3 << 20))
    kept.put(runners())
    assert kept.runner_count == 2
    kept.put(more := runners(1))
    assert kept.runner_count == 0 and more[0].closed
    assert take_kept(context(0), plan()) is not None, "on a device without memory it keeps none"


def test_a_runner_without_room_for_the_plans_is_ended():
    kept = KeptBaseline(KEY, 1 << 40)
    small, large = runners()
    small.nbytes, large.nbytes = 1 << 10, 1 << 20
    kept.put([small, large])
    assert kept.take(2, 1 << 20, 0) == [large] and small.closed
    assert kept.runner_count == 0


def test_a_recording_is_of_one_call_and_holds_nobodys_memory():
    kept = KeptBaseline(KEY, 1 << 40)
    program = recorded()
    memory = torch.zeros(64, dtype=torch.uint8)
    layout = replace(program.recorded.layout, bytes=memory, pattern=memory, nans=memory)
    program = replace(program, recorded=replace(program.recorded, layout=layout))
    kept.keep(CASE, program, 1 << 20)
    found = kept.recorded(CASE)
    assert found is not None and found.recorded.checked is program.recorded.checked
    assert found.recorded.layout.slots == layout.slots
    held = (found.recorded.layout.bytes, found.recorded.layout.pattern, found.recorded.layout.nans)
    assert [t.numel() for t in held] == [0, 0, 0]
    others = [
        replace(CASE, axes={"m": 18}),
        replace(CASE, scalars={"alpha": 0.25}),
        replace(CASE, structure={"longest": 3}),
        Case("another", CASE.axes, scalars=CASE.scalars),
    ]
    assert kept.holds([CASE]) and not any(kept.holds([other]) for other in others)


def test_plans_that_are_too_large_are_recorded_again(monkeypatch):
    monkeypatch.setattr(module, "KEPT_PLAN_BYTES", 6)
    kept = KeptBaseline(KEY, 1 << 40)
    kept.keep(CASE, recorded(), 1 << 20)
    assert not kept.holds([CASE])


def test_what_is_spoiled_is_ended_and_not_given_back():
    judge = context()
    kept = KeptBaseline(KEY, 1 << 40)
    kept.put(made := runners())
    kept.spoiled = True
    give_back(judge, kept)
    assert judge.kept_baseline is None and all(r.closed for r in made)


def test_runners_with_too_small_an_arena_are_not_counted_on():
    kept = take_kept(context(), plan())
    assert kept is not None
    kept.put(runners())
    size = ScriptedRunner().nbytes
    assert kept.large_enough(size) == 2 and kept.large_enough(size + 1) == 0
