"""The code of one call's kernels reaches the judge's folder, and no kernel of it runs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.messages.judge import CodeCompiled, CompileCode, SeededWorkload
from kernel_harness.tools.messages.profiler import CompiledModules, read_message
from kernel_harness.tools.schema.flashinfer_trace import Solution

from ....judging import AFFINE, JudgeProcess, make_solution, read_definition, read_workloads

TRITON = Path(importlib.import_module("tests.adversarial.honest.honest_triton").__file__ or "")
CUDA = Path(TRITON).with_name("cuda_own_kernel.py").read_text()


def triton(source: str | None = None) -> Solution:
    text = source or TRITON.read_text()
    return make_solution(text, definition="affine_n64", language="triton")


def compiled(judge: JudgeProcess, folder: Path, solution: Solution, target: str) -> CodeCompiled:
    values: dict[str, Any] = {
        "request_id": "r1",
        "definition": read_definition(AFFINE).model_dump(mode="json"),
        "operator_dir": str(AFFINE),
        "solution": solution.model_dump(mode="json"),
        "content_hash": solution.content_hash(),
        "workloads": [SeededWorkload(workload=read_workloads(AFFINE)[-1], seed=5)],
        "folder": str(folder),
    }
    judge.send(CompileCode(**values, target=target))
    while not isinstance(message := judge.read(), CodeCompiled):
        pass
    return message


@pytest.mark.process
def test_every_form_of_a_triton_kernel_is_there_with_its_lines(judge, tmp_path):
    found = compiled(judge, tmp_path, triton(), "sm_100")
    assert found.fault is None and found.path is not None
    (kernel,) = found.kernels
    (module,) = read_message(CompiledModules, Path(found.path)).modules
    assert module.kernels == {"affine_kernel": kernel.binary}
    assert set(module.texts) == {"ttir", "ttgir", "ptx", "sass"}
    assert "sm_100a" in module.texts["ptx"] and "tt.func" in module.texts["ttir"]
    line = 1 + TRITON.read_text().splitlines().index("    tl.store(row + m, tl.sum(value))")
    assert f'kernel.py", line {line}' in module.texts["sass"]
    assert "Used" in module.log


@pytest.mark.process
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def run(x, w, table, alpha, y, row):\n    1 / 0\n", "ZeroDivisionError"),
        ("raise ValueError('at import')\n", "could not be built"),
        (TRITON.read_text().replace("tl.sum(value)", "tl.sum(absent)"), "absent is not defined"),
    ],
)
def test_what_does_not_compile_says_why(judge, tmp_path, source, words):
    found = compiled(judge, tmp_path, triton(source), "sm_90")
    assert found.path is None and words in (found.fault or "")


@pytest.mark.long
@pytest.mark.process
def test_cuda_that_python_compiles_is_there_by_its_symbol(judge, tmp_path):
    found = compiled(judge, tmp_path, make_solution(CUDA, definition="affine_n64"), "sm_90")
    assert found.fault is None and found.path is not None
    (module,) = read_message(CompiledModules, Path(found.path)).modules
    assert module.kernels == {"affine_kernel": found.kernels[0].name}
    assert ".text.affine_kernel" in module.texts["sass"] and '.cu", line' in module.texts["sass"]
    assert ".entry affine_kernel" in module.texts["ptx"]
