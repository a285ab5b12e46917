"""The operators of benchmarks/first_programs: whole, and with constants that can be turned."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.agents.tuner.edits import EditKind
from kernel_harness.tools.agents.tuner.proposals import edits_of
from kernel_harness.tools.evaluation.precheck import precheck
from kernel_harness.tools.workloads.dataset import Dataset

ROOT = Path(__file__).parents[2] / "benchmarks" / "first_programs"
NAMES = sorted(folder.parent.name for folder in ROOT.glob("*/definition.json"))


@pytest.mark.parametrize("name", NAMES)
def test_each_is_an_operator_with_a_program_whose_constants_can_be_turned(name: str) -> None:
    dataset = Dataset.load(ROOT, ())
    operator = dataset.operator(name)
    assert not dataset.problems and len(operator.workloads) >= 2
    program = operator.solutions()["first_program"]
    assert precheck(program, operator.definition) is None
    edits = edits_of({source.path: source.content for source in program.sources})
    assert {EditKind.TILE, EditKind.WARPS} <= {edit.kind for edit in edits}
