"""Trials on other inputs, and those in which the operator's data or reference is at fault."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from safetensors.torch import save_file

from kernel_harness.tools.judge import trial as trial_module
from kernel_harness.tools.judge.trial import Trial
from kernel_harness.tools.messages.judge import Checks, EvaluatePlan, JudgeFault
from kernel_harness.tools.schema.evaluation import Severity, Status

from ...judging import make_plan, make_solution

pytestmark = pytest.mark.process

TWICE = "def run(x):\n    return x * 2\n"


def operator(folder: Path, reference: str = TWICE, stored: tuple[int, ...] = ()) -> Path:
    """A folder with a definition and three workloads, whose inputs may lie in files."""
    tensor = {"shape": ["n"], "dtype": "float32"}
    definition = {
        "name": "twice", "op_type": "demo", "axes": {"n": {"type": "var"}},
        "inputs": {"x": tensor}, "outputs": {"y": tensor}, "reference": reference,
    }  # fmt: skip
    (folder / "definition.json").write_text(json.dumps(definition))
    lines = []
    for n in (4, 8, 16):
        x = {"type": "random"}
        if n in stored:
            x = {"type": "safetensors", "path": f"{n}.st", "tensor_key": "x"}
        workload = {"uuid": f"w{n}", "axes": {"n": n}, "inputs": {"x": x}}
        lines.append(json.dumps({"definition": "twice", "workload": workload}))
    (folder / "workloads.jsonl").write_text("\n".join(lines))
    return folder


def plan(folder: Path, body: str = TWICE, **options) -> EvaluatePlan:
    solution = make_solution(body, definition="twice", style="value")
    return make_plan(solution, folder, generic=True, dataset_root=str(folder), **options)


def test_a_file_at_fault_leaves_the_other_workloads_judged(judge, tmp_path):
    operator(tmp_path, stored=(4, 8, 16))
    save_file({"x": torch.ones(4)}, str(tmp_path / "4.st"))
    save_file({"x": torch.ones(9)}, str(tmp_path / "8.st"))
    save_file({"x": torch.ones(16)}, str(tmp_path / "16.st"))
    found = judge.evaluate(plan(tmp_path))
    states = {w.uuid: w for w in found.workloads}
    assert found.status is Status.PARTIAL
    assert [states[u].status for u in ("w4", "w8", "w16")] == ["PASSED", "NOT_RUN", "PASSED"]
    assert "8.st" in (states["w8"].reason or "") and "8.st" in (found.partial_reason or "")
    wrong = judge.evaluate(plan(tmp_path, TWICE.replace("2", "3")))
    assert wrong.status is Status.INCORRECT_NUMERICAL


def test_without_a_usable_file_the_dataset_is_at_fault(judge, tmp_path):
    answer = judge.ask(plan(operator(tmp_path, stored=(4, 8, 16))))
    assert isinstance(answer, JudgeFault) and answer.of_dataset
    assert answer.where.endswith("4.st") and "git lfs" in answer.remedy


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("def run(x):\n    return x.gone\n", "AttributeError"),
        ("def run(x):\n    return x[:1]\n", "shape"),
        ("import torch\ndef run(x):\n    return torch.rand_like(x)\n", "random"),
    ],
)
def test_a_reference_at_fault_ends_the_trial_before_any_call(judge, tmp_path, reference, words):
    mark = tmp_path / "mark"
    folder = operator(tmp_path, reference)
    body = f"def run(x):\n    open({str(mark)!r}, 'w')\n    return x\n"
    answer = judge.ask(plan(folder, body))
    assert isinstance(answer, JudgeFault) and answer.of_dataset
    assert words in answer.what and "field reference" in answer.where
    assert not mark.exists()


def test_a_candidate_that_was_wrong_before_stays_wrong(judge, tmp_path):
    source = "def run(x):\n    assert len(x) < 9\n    return x * 2\n"
    folder = operator(tmp_path, source)
    found = judge.evaluate(plan(folder, "def run(x):\n    return x * 3\n"))
    assert found.status is Status.INCORRECT_NUMERICAL
    answer = judge.ask(plan(folder))
    assert isinstance(answer, JudgeFault) and answer.of_dataset


def test_building_takes_nothing_of_the_budget_of_time(judge, tmp_path):
    body = f"import time\ntime.sleep(1.5)\n{TWICE}"
    found = judge.evaluate(plan(operator(tmp_path), body, budget_s=1.2))
    assert found.status is Status.PASSED
    assert found.evidence.seconds["candidate_build"] > 1.4


def test_processes_that_a_right_candidate_needs_are_started_for_no_wrong_one(judge, tmp_path):
    checks = Checks(trials=1, families=0, timed=False, held_out=2)
    folder = operator(tmp_path)
    right = judge.evaluate(plan(folder, checks=checks))
    assert right.status is Status.PASSED and "spawn_more" in right.evidence.seconds
    assert right.held_out is not None and right.held_out.called
    wrong = judge.evaluate(plan(folder, TWICE.replace("2", "3"), checks=checks))
    assert wrong.status is Status.INCORRECT_NUMERICAL
    assert "spawn_more" not in wrong.evidence.seconds


class Session:
    """A process that was taken before its context was there."""

    def __init__(self, *, up: bool) -> None:
        self.up, self.asked = up, []

    def came_up(self) -> bool:
        return self.up

    def ask(self, request: object) -> None:
        self.asked.append(request)


def test_a_process_that_got_no_context_is_replaced_and_blamed_on_nobody():
    made = []
    processes = SimpleNamespace(spawn=lambda: made.append(Session(up=True)) or made[-1])
    trial: Any = SimpleNamespace(_processes=processes, _build="the sources")
    first: Any = Session(up=True)
    assert Trial._with_context(trial, first) is first and not made
    lost: Any = Session(up=False)
    found: Any = Trial._with_context(trial, lost)
    assert found is made[0] and found.asked == ["the sources"]


def test_an_output_that_does_not_depend_on_inputs_is_named(judge, tmp_path):
    source = "def run(x):\n    return x - x\n"
    for _ in range(2):
        found = judge.evaluate(plan(operator(tmp_path, source), source))
        (finding,) = [f for f in found.integrity.findings if f.severity is Severity.WARNING]
        assert finding.claim == "outputs_depend_on_inputs" and "y" in finding.message
        assert found.status is Status.PASSED
    honest = judge.evaluate(plan(operator(tmp_path)))
    assert not honest.integrity.findings


def test_a_policy_of_the_plan_counts_instead_of_the_folders(judge, tmp_path):
    operator(tmp_path)
    (tmp_path / "policy.toml").write_text("[tolerance]\natol = 0.5\n")
    off_by_a_tenth = plan(tmp_path, "def run(x):\n    return x * 2 + 0.1\n")
    assert judge.evaluate(off_by_a_tenth).status is Status.INCORRECT_NUMERICAL
    loose = {"criterion": "published", "tolerance": {"atol": 0.2, "rtol": 0.01}}
    found = judge.evaluate(off_by_a_tenth.model_copy(update={"policy": loose}))
    assert found.status is Status.PASSED
    assert [e.strict for w in found.workloads for e in w.errors] == [False] * 3
    exact = {"criterion": "published", "tolerance": {"atol": 0.01, "rtol": 0.01}}
    strict = judge.evaluate(off_by_a_tenth.model_copy(update={"policy": exact}))
    assert strict.status is Status.INCORRECT_NUMERICAL


ONLY_ZEROS = "def run(x):\n    return x * 0\n"


def test_a_trial_is_of_the_family_of_inputs_that_was_asked_for(judge, tmp_path):
    operator(tmp_path)
    checks = Checks(trials=2, families=0, timed=False, input_family="zeros")
    found = judge.evaluate(plan(tmp_path, ONLY_ZEROS, checks=checks))
    drawn = [family for families in found.evidence.families.values() for family in families]
    assert found.status is Status.PASSED, "twice zero is zero"
    assert found.input_family == "zeros" and drawn.count("zeros") >= 2 * 3
    assert "typical" not in drawn
    usual = judge.evaluate(plan(tmp_path, ONLY_ZEROS, checks=Checks(families=0, timed=False)))
    assert usual.status is Status.INCORRECT_NUMERICAL and usual.input_family == ""


def test_a_family_of_inputs_that_there_is_not_is_the_dataset_at_fault(judge, tmp_path):
    answer = judge.ask(plan(operator(tmp_path), checks=Checks(input_family="even")))
    assert isinstance(answer, JudgeFault) and answer.of_dataset
    assert "'even'" in answer.what and "typical" in answer.remedy


@pytest.mark.parametrize("fixed", [True, False])
def test_an_operator_of_one_size_has_nothing_to_be_held_out(judge, tmp_path, fixed):
    """One that has others, for which inputs cannot be made, has not passed that check."""
    operator(tmp_path, stored=(4, 8, 16))
    for n in (4, 8, 16):
        save_file({"x": torch.ones(n)}, str(tmp_path / f"{n}.st"))
    if fixed:
        definition = json.loads((tmp_path / "definition.json").read_text())
        definition["axes"]["n"] = {"type": "const", "value": 4}
        (tmp_path / "definition.json").write_text(json.dumps(definition))
        inputs = {"x": {"type": "random"}}
        workload = {"uuid": "w", "axes": {}, "inputs": inputs}
        line = json.dumps({"definition": "twice", "workload": workload})
        (tmp_path / "workloads.jsonl").write_text(line)
    found = judge.evaluate(plan(tmp_path, checks=Checks(timed=False, held_out=2)))
    assert found.status is Status.PASSED
    assert ("held_out" in found.integrity.checks) == fixed
    assert (found.held_out is not None) == fixed
    if found.held_out is not None:
        assert (found.held_out.legal, found.held_out.called) == (0, 0)


WRITER = """import os
from pathlib import Path

entry = Path(os.environ["TRITON_CACHE_DIR"], "A" * 52)
print("found", entry.exists())
entry.mkdir(parents=True, exist_ok=True)
(entry / "kernel.cubin").write_bytes(b"code of ours")


def run(x):
    return x * 2
"""
"""A candidate that leaves compiled code for whom it may be given to."""


def test_what_a_race_s_run_compiled_is_given_to_its_later_runs_and_to_no_other_trial(
    judge, tmp_path
):
    operator(tmp_path)

    def found(race: str, body: str = WRITER) -> bool:
        record = judge.evaluate(plan(tmp_path, body, race=race))
        assert record.status is Status.PASSED, record.failure
        return "found True" in record.log

    other = WRITER + "#\n"
    assert not found("r") and not found("r", other), "of other sources"
    assert found("r") and found("r", other)
    assert not found("s"), "of another race"
    assert found("s") and not found(""), "a winner that is judged"
    assert not found("") and not found("s"), "a judged trial keeps nothing, and drops all"


@pytest.mark.parametrize("little", [False, True])
def test_what_an_earlier_trial_leaves_is_waited_for_where_little_memory_is_free(
    monkeypatch, little
):
    asked: list[int] = []
    monkeypatch.setattr(
        trial_module, "little_is_free", lambda device, nbytes: asked.append(nbytes) or little
    )
    trial = MagicMock(_runnable=[3, 7, 5])
    trial.operator.input_bytes.side_effect = lambda case: case
    trial._parts.cancellation.overdue = False
    Trial.run(trial)
    called = [name for name, *_ in trial.mock_calls]
    assert ("_context.drain" in called) == little and asked == [7]
    if little:
        assert called.index("_context.drain") < called.index("_carry_out")
