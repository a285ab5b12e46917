"""All faults of an operator are told at once: none hides another, and its reference is judged."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.errors import DatasetError, InfrastructureError, RequestError
from kernel_harness.tools.messages.judge import CheckOperator, EvaluatePlan, JudgeFault, JudgeReport
from kernel_harness.tools.operator_check import OperatorCheck
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset

from ..judging import AFFINE, JudgeProcess

NAME = "affine_n64"
ORACLE = AFFINE / "oracle.py"


class OneJudge:
    """What the check needs of a pool, with the judge that tests share."""

    def __init__(self, judge: JudgeProcess) -> None:
        self._judge = judge

    async def ask(self, device: str, request: CheckOperator, *_: object) -> Any:
        self._judge.send(request)
        return self._judge.read()

    async def evaluate(self, devices: Any, plan: EvaluatePlan, *_: object) -> JudgeReport:
        answer = self._judge.ask(plan)
        if isinstance(answer, JudgeFault):  # as the pool does
            raise DatasetError(answer.what, where=answer.where, remedy=answer.remedy)
        assert isinstance(answer, JudgeReport)
        if answer.draining:
            self._judge.read()
        return answer


def problems(judge: JudgeProcess, kernels: Path, name: str = NAME) -> list[str]:
    check = OperatorCheck(
        Dataset.load(kernels, ()),
        OneJudge(judge) if isinstance(judge, JudgeProcess) else judge,  # pyright: ignore[reportArgumentType]
        "cpu",
        Settings(data_dir=kernels.parent / "data", device="cpu"),
    )
    return asyncio.run(check.problems_of(name, ignore_progress))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "kernels" / NAME
    shutil.copytree(AFFINE, made)
    return made


def test_an_oracle_that_disagrees_with_its_reference_is_told(judge, folder):
    assert problems(judge, folder.parent) == []
    wrong = ORACLE.read_text().replace("* alpha + 1.0", "* alpha + 2.0")
    (folder / "oracle.py").write_text(wrong)
    (said,) = problems(judge, folder.parent)
    assert said.startswith(f"{folder}/oracle.py: the reference itself is refused")
    assert "Output 'y'" in said and " for m=" in said


def test_a_comparison_that_refuses_the_reference_itself_is_told(judge, folder):
    never = "    return {'ok': False, 'message': 'Nothing is right.'}\n"
    (folder / "compare.py").write_text(f"def compare_all(inputs, expected, got, limits):\n{never}")
    said = problems(judge, folder.parent)
    assert any("random" in one or "Nothing is right" in one for one in said), said


def test_a_broken_cost_model_hides_no_other_fault(judge, folder):
    (folder / "cost.py").write_text("def cost(axes, structure, inputs):\n    return axes['k']\n")
    definition = json.loads((folder / "definition.json").read_text())
    definition["reference"] = "def run(x, w, table, alpha):\n    return x[999], x\n"
    (folder / "definition.json").write_text(json.dumps(definition))
    (folder / "policy.toml").write_text("[axes.q]\nminimum = 1\n")
    said = problems(judge, folder.parent)
    assert any("cost() failed for axes" in one and "'k'" in one for one in said), said
    assert any("cost.py fails on" in one for one in said), said
    assert any("The reference failed with IndexError" in one for one in said), said
    assert any("policy.toml: axes.q" in one for one in said), said


def test_each_file_that_is_no_python_is_told_with_its_line(judge, folder):
    for name in ("cost.py", "oracle.py"):
        (folder / name).write_text("import torch\n\n\ndef (x):\n")
    (folder / "peers" / "one").mkdir(parents=True)
    (folder / "peers" / "two").mkdir()
    for peer in ("one", "two"):
        (folder / "peers" / peer / "candidate.toml").write_text(f'name = "{peer}"\n')
    said = problems(judge, folder.parent)
    assert [one for one in said if f"{folder}/cost.py:4: it is no Python" in one]
    assert [one for one in said if f"{folder}/oracle.py:4: it is no Python" in one]
    assert [one for one in said if "peers/one" in one] and [o for o in said if "peers/two" in o]


def test_each_file_that_cannot_be_imported_is_told(judge, folder):
    for name in ("cost.py", "oracle.py", "compare.py"):
        (folder / name).write_text("import nowhere\n\n\ndef f():\n    pass\n")
    said = problems(judge, folder.parent)
    for name in ("cost.py", "oracle.py", "compare.py"):
        found = [one for one in said if "nowhere" in one and f"{folder}/{name}" in one]
        assert len(found) == 1, (name, said)


@pytest.mark.parametrize("judging", [True, False])
def test_held_out_workloads_that_cannot_be_drawn_are_told(judge, folder, judging):
    if not judging:
        (folder / "oracle.py").unlink()
    with (folder / "inputs.py").open("a") as file:
        # By any name: what the file has counts, not how it is written.
        file.write("\n\ndef sizes(rng, count):\n    raise ValueError('no sizes')\n")
        file.write("\n\nheld_out = sizes\n")
    (said,) = problems(judge, folder.parent)
    assert "held_out() of the operator failed: ValueError: no sizes" in said
    assert f"{folder}/inputs.py" in said


def test_code_that_ends_processes_is_told_though_the_judge_ended(folder):
    class Ended:
        async def ask(self, *_: object) -> Any:
            raise InfrastructureError("The judge ended")

    (folder / "cost.py").write_text("import os\n\nos._exit(0)\n")
    (said, *_) = problems(Ended(), folder.parent)  # pyright: ignore[reportArgumentType]
    assert "it ended its process" in said and f"{folder}/cost.py" in said
    (folder / "cost.py").unlink()
    with pytest.raises(InfrastructureError):
        problems(Ended(), folder.parent)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("word", ["input()", "breakpoint()"])
def test_code_that_asks_a_person_is_told_and_waits_for_nobody(judge, folder, word):
    (folder / "oracle.py").write_text(f"{word}\n{ORACLE.read_text()}")
    assert any(f"{folder}/oracle.py" in one for one in problems(judge, folder.parent))


def test_a_definition_that_cannot_be_read_hides_no_other_fault(judge, folder):
    definition = json.loads((folder / "definition.json").read_text())
    del definition["op_type"]
    definition["outputs"]["y"]["dtype"] = "float23"
    (folder / "definition.json").write_text(json.dumps(definition))
    (folder / "policy.toml").write_text('objective = "hot"\n[tolerance]\natol = -1\n')
    (folder / "inputs.py").write_text("def generate(:\n")
    (folder / "structure.json").write_text("[")
    with (folder / "workloads.jsonl").open("a") as lines:
        lines.write("{}\n")
    said = "\n".join(problems(judge, folder.parent, "affine"))
    for words in (
        *("definition.json: op_type", "definition.json: outputs.y.dtype", "inputs.py:1: it is no"),
        *(
            "policy.toml: objective",
            "tolerance.atol",
            "structure.json: Not JSON",
            "workloads.jsonl:",
        ),
    ):
        assert words in said, words


def test_a_definition_that_there_is_not_is_refused(judge, folder):
    with pytest.raises(RequestError, match="affin"):
        problems(judge, folder.parent, "afine")


def test_what_torch_lacks_without_a_gpu_is_to_be_checked_on_one(judge, folder):
    """The reference was to be corrected."""
    code = "import torch\n\ndef run(*given):\n    return torch.linalg.qr(torch.ones(4, 4).half())\n"
    (folder / "reference.py").write_text(code)
    definition = json.loads((folder / "definition.json").read_text())
    (folder / "definition.json").write_text(json.dumps({**definition, "reference": code}))
    said = " ".join(problems(judge, folder.parent))
    assert "not implemented for 'Half'. Check it on a machine with a GPU" in said
