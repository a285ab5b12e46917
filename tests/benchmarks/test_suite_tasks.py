"""The tasks of benchmarks/suite_round.py: twenty, each with candidates that are what they say."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.suites.kernelbench import find_tasks
from kernel_harness.tools.suites.texts.reduced_sizes import reduced

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    runpy.run_path(str(ROOT / "benchmarks" / "suite_tasks.py"))["write_suite"](folder)
    return folder


def run(text: str, model: str, inputs: list[Any], init: list[Any]) -> torch.Tensor:
    """What a model of a file gives, with the weights of one seed."""
    names: dict[str, Any] = {}
    exec(compile(text, "<task>", "exec"), names)
    torch.manual_seed(1)
    with torch.no_grad():
        return names[model](*init)(*inputs)


def test_right_and_slow_give_what_the_task_does_and_wrong_does_not(suite: Path) -> None:
    tasks = find_tasks(suite / "tasks")
    assert len(tasks) == 20
    for task in tasks:
        text = reduced(task.file.read_text(), 64)
        names: dict[str, Any] = {}
        exec(compile(text, "<task>", "exec"), names)
        inputs, init = names["get_inputs"](), names["get_init_inputs"]()
        due = run(text, "Model", inputs, init)
        file = f"level_{task.level}_problem_{task.number}_sample_0_kernel.py"
        for kind in ("right", "slow", "wrong"):
            source = (suite / kind / file).read_text()
            if "@triton.jit" in source:  # judged by the interpreter, in the round itself
                continue
            found = run(source, "ModelNew", inputs, init)
            same = found.shape == due.shape and torch.allclose(
                found.float(), due.float(), atol=1e-4, rtol=1e-4
            )
            assert same is (kind != "wrong"), (task.name, kind)
