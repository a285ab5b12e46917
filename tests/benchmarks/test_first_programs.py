"""The operators of benchmarks/first_programs: whole, right, and with constants to be turned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kernel_harness.tools.agents.tuner.edits import EditKind
from kernel_harness.tools.agents.tuner.proposals import edits_of
from kernel_harness.tools.evaluation.precheck import precheck
from kernel_harness.tools.workloads.dataset import Dataset

ROOT = Path(__file__).parents[2] / "benchmarks" / "first_programs"
NAMES = sorted(folder.parent.name for folder in ROOT.glob("*/definition.json"))
SLOW = ["linear_h1024"]
"""A product of matrices takes the interpreter as long as all others together."""


@pytest.mark.parametrize("name", NAMES)
def test_each_is_an_operator_with_a_program_whose_constants_can_be_turned(name: str) -> None:
    dataset = Dataset.load(ROOT, ())
    operator = dataset.operator(name)
    assert not dataset.problems and len(operator.workloads) >= 2
    program = operator.solutions()["first_program"]
    assert precheck(program, operator.definition) is None
    edits = edits_of({source.path: source.content for source in program.sources})
    assert {EditKind.TILE, EditKind.WARPS} <= {edit.kind for edit in edits}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([name for name in NAMES if name not in SLOW], id="quick"),
        pytest.param(SLOW, id="slow", marks=pytest.mark.long),
    ],
)
def test_each_program_computes_what_its_definition_asks_for(names: list[str]) -> None:
    """In one process, for the interpreter is chosen when Triton is imported."""
    script = Path(__file__).with_name("first_programs_interpreted.py")
    command = [sys.executable, str(script), *(str(ROOT / name) for name in names)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.splitlines() == names
