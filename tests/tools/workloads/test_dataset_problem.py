"""Code that nothing calls, and solutions of which nothing can be called, are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.dataset_problem import code_problems, entry_problem
from kernel_harness.tools.workloads.solution_folder import given_solution

Write = Callable[..., Path]
ORACLE = "def oracle(x):\n    return {}\n\n\ndef trusted(x):\n    return {}\n"
GENERATE = "def generate(axes):\n    return {}\n"


@pytest.mark.parametrize(
    ("file", "source", "words"),
    [
        ("oracle.py", ORACLE, []),
        ("oracle.py", ORACLE.replace("trusted", "trustd"), ["trustd(): is trusted() meant?"]),
        ("oracle.py", ORACLE.replace("def oracle", "def oracles"), ["is oracle() meant?"]),
        ("oracle.py", ORACLE + "def _attend(x):\n    return x\n", []),
        ("oracle.py", "def reference(x):\n    return x\n", ["defines no oracle or trusted"]),
        ("inputs.py", "def generates(axes):\n    return {}\n", ["no generate", "is generate()"]),
        ("inputs.py", "FAMILYS = ('a',)\n" + GENERATE, ["reads FAMILYS: is FAMILIES meant?"]),
        ("inputs.py", "FAMILIES = ('a',)\nFAMILY = 'a'\n" + GENERATE, []),
        ("cost.py", "def cost(axes, structure):\n    return {}\n", []),
        ("compare.py", "def compare_al(a):\n    pass\n", ["no compare", "is compare_all()"]),
    ],
)
def test_a_function_of_an_operator_that_nothing_calls_is_named(
    write_operator: Write, file: str, source: str, words: list[str]
) -> None:
    folder = write_operator(**{file.replace(".", "__"): source})
    problems = code_problems(Dataset.load(folder, ()).operator("scale_rows"))
    assert len(problems) == len(words), problems
    assert all(word in said for word, said in zip(words, problems, strict=True)), problems


@pytest.mark.parametrize(
    ("entry", "source", "words"),
    [
        ("kernel.py::run", "def run(x):\n    return x\n", None),
        ("kernel.py::run", "from library import f as run\n", None),
        ("kernel.py::run", "import torch\n\nrun = torch.compile(torch.sin)\n", None),
        ("kernel.py::run", "def rn(x):\n    return x\n", "kernel.py has no run, its entry point"),
        ("kernel.py::run", "def run(x)\n", "line 1, is no Python"),
        ("kernel.cu::run", "TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, launch);", None),
        ("kernel.cu::run", "void runs() {}", "kernel.cu has no run"),
    ],
)
def test_a_solution_without_its_entry_point_is_named(
    entry: str, source: str, words: str | None
) -> None:
    language = "cuda" if ".cu" in entry else "python"
    path = "kernel.cu" if language == "cuda" else "kernel.py"
    solution = given_solution(
        {
            "name": "peer",
            "definition": "scale_rows",
            "author": "peer",
            "spec": {"language": language, "target_hardware": ["cuda"], "entry_point": entry},
            "sources": [{"path": path, "content": source}],
        }
    )
    said = entry_problem(solution)
    assert (said is None) if words is None else words in str(said)


def test_a_peer_that_cannot_be_read_is_a_problem_like_others(write_operator: Write) -> None:
    folder = write_operator()
    peer = folder / "scale_rows" / "peers" / "others"
    peer.mkdir(parents=True)
    (peer / "candidate.toml").write_text('name = "others"\n')
    (said,) = code_problems(Dataset.load(folder, ()).operator("scale_rows"))
    assert "candidate.toml" in said


def test_shipped_operators_have_no_such_problems() -> None:
    dataset = Dataset.load(Path(__file__).parents[3] / "kernels", ())
    for name in dataset.operators:
        assert code_problems(dataset.operator(name)) == [], name
