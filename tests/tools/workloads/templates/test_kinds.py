"""Templates name every argument, compile as they are, and begin a workspace."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.evaluation.precheck import precheck
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.templates.arguments import sizes_of
from kernel_harness.tools.workloads.templates.kinds import KINDS, template_solution
from tests.folding import for_each

OPERATORS = Dataset.load(Settings().kernels_dir).operators


@pytest.mark.parametrize("name", OPERATORS)
@for_each("kind", KINDS)
def test_a_template_takes_the_arguments_of_a_call_and_its_python_is_python(name, kind):
    definition = OPERATORS[name].definition
    solution = template_solution(definition, kind)
    assert precheck(solution, definition) is None
    text = "\n".join(source.content for source in solution.sources)
    for argument in [*definition.inputs, *definition.outputs]:
        assert argument in text
    for source in solution.sources:
        if source.path.endswith(".py"):
            ast.parse(source.content)


def test_every_varying_axis_that_a_shape_tells_is_a_size():
    definition = OPERATORS["gdn_prefill_qk4_v8_d128_k_last"].definition
    told = {size.axis for size in sizes_of(definition)}
    assert told == set(definition.var_axes)


def test_an_unknown_template_is_refused_with_those_there_are():
    definition = next(iter(OPERATORS.values())).definition
    with pytest.raises(RequestError, match="nvrtc"):
        template_solution(definition, "nvtrc")


@pytest.mark.long
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
@pytest.mark.parametrize("name", OPERATORS)
def test_the_kernels_bound_by_torch_compile_without_a_warning(name, tmp_path: Path):
    for source in template_solution(OPERATORS[name].definition, "torch").sources:
        (tmp_path / source.path).write_text(source.content)
    command = ["nvcc", "-std=c++17", "-arch=sm_90a", "-Werror", "all-warnings", "-c", "kernel.cu"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
