"""Faults of a dataset by category, each with its place; a sound dataset has none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kernel_harness.tools.datasets.trace_set import read_trace_set
from kernel_harness.tools.datasets.validation.report import (
    STATIC,
    Category,
    ValidationReport,
    read_report,
    report_lines,
    validate,
)
from kernel_harness.tools.errors import DatasetError, RequestError

from ..folders import DatasetFolder, solution, trace, workload


@pytest.fixture
def sound(folder: DatasetFolder) -> DatasetFolder:
    """A dataset with nothing to say against."""
    folder.definition()
    folder.workloads(1, 8)
    folder.solution("plain", "baseline")
    folder.traces("plain", {1: 1.0, 8: 2.0}, "baseline")
    return folder


def looked_at(folder: DatasetFolder, **options) -> ValidationReport:
    return validate(read_trace_set(folder.root), **options)


def found(folder: DatasetFolder, category: str) -> list[str]:
    report = looked_at(folder, categories=[Category(category)])
    return [f.words for f in report.findings]


def test_a_sound_dataset_has_no_findings(sound) -> None:
    report = looked_at(sound)
    assert report.findings == []
    assert report.status_of("double") == "passed"
    assert report.categories == list(STATIC)


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("definitions/scale/other.json", "definitions/scale/double.json"),
        ("solutions/example.json", "solutions/baseline/scale/double/plain.json"),
        ("workloads/double.jsonl", "workloads/scale/double.jsonl"),
        ("traces/scale/double.jsonl", "traces/baseline/scale/double.jsonl"),
    ],
)
def test_files_lie_where_their_fields_say(sound, file, place) -> None:
    assert found(sound, "layout") == []
    (sound.root / file).parent.mkdir(parents=True, exist_ok=True)
    (sound.root / place).rename(sound.root / file)
    (finding,) = [w for w in found(sound, "layout") if file in w]
    assert place in finding and finding.startswith("error  layout")


DEFINITIONS = {
    "no description": ({"description": ""}, "warning", "no description"),
    "too few parameters": ({"reference": "def run():\n    return 1\n"}, "error", "1 inputs"),
    "a parameter by name": (
        {"reference": "def run(x, *, scale):\n    return x\n"}, "error", "cannot be called",
    ),
    "an unknown field": ({"hf_id": "x"}, "warning", "hf_id"),
    "an axis of no input": (
        {"axes": {"m": {"type": "var"}, "n": {"type": "const", "value": 4}, "k": {"type": "var"}}},
        "warning", "axis k",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions_can_be_called_and_say_what_they_are(sound, name) -> None:
    changes, level, words = DEFINITIONS[name]
    sound.definition(**changes)
    (finding,) = found(sound, "definition")
    assert finding.startswith(level) and words in finding


def test_two_definitions_of_a_name_are_an_error(sound) -> None:
    sound.file(
        "definitions/other/double.json", (sound.root / "definitions/scale/double.json").read_text()
    )
    assert len(found(sound, "definition")) == 2


TENSOR = {"type": "safetensors", "path": "blob/x.safetensors", "tensor_key": "x"}
WORKLOADS = {
    "no size": ({"axes": {}}, "no size for axis m"),
    "a size of 0": ({"axes": {"m": 0}}, "axis m is 0"),
    "a constant": ({"axes": {"m": 1, "n": 4}}, "axis n is a constant"),
    "an unknown axis": ({"axes": {"m": 1, "k": 4}}, "axis k is no axis"),
    "a missing input": ({"inputs": {}}, "nothing is said of input x"),
    "an unknown input": (
        {"inputs": {"x": {"type": "random"}, "z": {"type": "random"}}}, "no input z",
    ),
    "a scalar for a tensor": ({"inputs": {"x": {"type": "scalar", "value": 1}}}, "a tensor and is"),
    "a missing file": ({"inputs": {"x": {**TENSOR, "path": "blob/none.st"}}}, "does not exist"),
    "a file outside": ({"inputs": {"x": {**TENSOR, "path": "../x.st"}}}, "outside"),
    "a missing tensor": ({"inputs": {"x": {**TENSOR, "tensor_key": "z"}}}, "no tensor 'z'"),
    "another shape": ({"axes": {"m": 5}, "inputs": {"x": TENSOR}}, "[8, 4], not [5, 4]"),
    "another type": (
        {"axes": {"m": 8}, "inputs": {"x": {**TENSOR, "tensor_key": "half"}}}, "float16, not",
    ),
    "a pointer": ({"inputs": {"x": {**TENSOR, "path": "blob/pointer"}}}, "git-lfs pointer"),
    "no tensors at all": ({"inputs": {"x": {**TENSOR, "path": "blob/text"}}}, "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_are_those_of_their_definition(sound, name) -> None:
    blob = sound.root / "blob"
    blob.mkdir()
    x = np.zeros((8, 4), np.float32)
    save_file({"x": x, "half": x.astype(np.float16)}, blob / "x.safetensors")
    (blob / "pointer").write_text("version https://git-lfs.github.com/spec/v1\n")
    (blob / "text").write_text("no tensors")
    sound.workloads(8, uuid="stored", inputs={"x": TENSOR})
    assert found(sound, "workload") == []
    changes, words = WORKLOADS[name]
    sound.lines(
        "workloads/scale/double.jsonl",
        [{"definition": "double", "workload": workload(3, **changes)}],
    )
    (finding,) = found(sound, "workload")
    assert (
        finding.startswith("error  workload  workloads/scale/double.jsonl:4") and words in finding
    )


def test_a_scalar_is_given_as_one(folder) -> None:
    inputs = {"x": {"shape": ["m"], "dtype": "float32"}, "s": {"shape": None, "dtype": "float32"}}
    folder.definition(inputs=inputs, reference="def run(x, s):\n    return x\n")
    for uuid, spec in (("a", {"type": "scalar", "value": 2.0}), ("b", {"type": "random"})):
        folder.workloads(1, uuid=uuid, inputs={"x": {"type": "random"}, "s": spec})
    (finding,) = found(folder, "workload")
    assert "b: input s is a scalar and is given as random" in finding


def test_workloads_of_nothing_twice_or_none_at_all(sound) -> None:
    sound.workloads(8)
    sound.workloads(1, definition="none")
    sound.definition("lonely")
    sound.definition("limited", constraints=["m <= 4"])
    sound.workloads(8, definition="limited")
    sound.lines("workloads/scale/double.jsonl", [trace("plain", 64, 1.0)])
    words = "\n".join(found(sound, "workload"))
    assert "the uuid 'w-8' is repeated" in words
    assert "there is no definition 'none'" in words
    assert "lonely.json: it has no workload" in words
    assert "w-8 violates the constraint 'm <= 4'" in words
    assert "holds no solution and no evaluation" in words


SOLUTIONS = {
    "another definition": ({"definition": "none"}, "no definition 'none'"),
    "the name of another": ({"name": "plain"}, "2 solutions are named 'plain'"),
    "no Python": ({"source": "def run(x, y)\n"}, "line 1"),
    "no such function": ({"entry_point": "main.py::go"}, "has no go"),
    "too few parameters": ({"source": "def run(x):\n    return x\n"}, "2 inputs and outputs"),
    "too many parameters": (
        {"source": "def run(x, y, z):\n    pass\n", "destination_passing_style": False}, "1 inputs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOLUTIONS)
def test_solutions_can_be_called(sound, name) -> None:
    changes, words = SOLUTIONS[name]
    changes = {"name": "mine", **changes}
    sound.file("solutions/me/scale/double/mine.json", solution(**changes))
    findings = found(sound, "solution")
    assert findings and all(f.startswith("error") and words in f for f in findings)


@pytest.mark.parametrize(
    "source",
    [
        "def run(*tensors):\n    pass\n",
        "def run(x, y, more=None):\n    pass\n",
        "import functools\n\n\n@functools.cache\ndef run(x):\n    pass\n",
        "from elsewhere import run\n",
        "from elsewhere import *\n",
        "run = print\n",
        "class run:\n    pass\n",
        "if True:\n    def run(x, y):\n        pass\n",
    ],
)
def test_what_may_be_callable_is_not_refused(sound, source) -> None:
    sound.solution("mine", source=source)
    assert found(sound, "solution") == []


def test_traces_are_of_what_is_there(sound) -> None:
    sound.solution("mine", "me")
    sound.solution("of_other", "me", definition="other")
    sound.definition("other")
    lines = [
        trace("mine", 1, 1.0),
        trace("none", 1, 1.0),
        trace("of_other", 1, 1.0),
        trace("mine", 99, 1.0),
        {**trace("mine", 8, 1.0), "workload": workload(8, axes={"m": 9})},
        trace("mine", 8, "TIMEOUT", definition="nothing"),
        {"definition": "double", "workload": workload(1)},
    ]
    zero = trace("mine", 1, 1.0)
    zero["evaluation"]["performance"]["latency_ms"] = 0.0
    sound.lines("traces/me/scale/double.jsonl", [*lines, zero])
    words = found(sound, "trace")
    for number, part in (
        (2, "no solution 'none'"),
        (3, "is a solution of 'other'"),
        (4, "no workload 'w-99'"),
        (5, "has other sizes: {'m': 8}"),
        (6, "no definition 'nothing'"),
        (7, "a trace holds a solution"),
        (8, "a latency of 0"),
    ):
        assert [w for w in words if f"double.jsonl:{number}:" in w and part in w], part
    assert [w for w in words if "1 of 2 workloads have no trace of 'mine'" in w]
    assert len(words) == 8


def test_a_baseline_is_one_and_passes_everywhere(sound) -> None:
    sound.definition("without")
    sound.definition("several")
    for name in ("a", "b"):
        sound.solution(name, "baseline", definition="several")
    sound.definition("failing")
    sound.workloads(1, 8, definition="failing")
    sound.solution("bad", "baseline", definition="failing")
    sound.traces("bad", {1: "RUNTIME_ERROR"}, "baseline", definition="failing")
    sound.definition("untried")
    sound.solution("idle", "baseline", definition="untried")
    words = "\n".join(found(sound, "baseline"))
    assert "without.json: no solution has the author 'baseline'" in words
    assert "several solutions are baselines: a, b" in words
    assert "'bad' failed in 1 of 1 traces" in words and "no trace on 1 of 2 workloads" in words
    assert "the baseline 'idle' has no trace" in words
    assert "double.json" not in words


def test_files_that_cannot_be_read_are_told_in_their_category(sound) -> None:
    sound.file("solutions/me/scale/double/cut.json", "{")
    sound.lines("traces/me/scale/double.jsonl", ["nothing"])
    (unreadable,) = looked_at(sound, categories=[Category.SOLUTION]).findings
    assert unreadable.file.endswith("cut.json") and unreadable.definition == "double"
    assert "double.jsonl:1" in found(sound, "trace")[0]
    assert found(sound, "definition") == []


def test_a_part_is_looked_at(sound) -> None:
    sound.definition("other", "kind", description="")
    assert looked_at(sound, definitions=["double"]).findings == []
    assert {f.definition for f in looked_at(sound, op_types=["kind"]).findings} == {"other"}
    with pytest.raises(RequestError, match="kind"):
        looked_at(sound, op_types=["kindd"])


def test_a_report_is_text_and_json_that_reads_back(sound, tmp_path: Path) -> None:
    sound.definition("other", description="")
    report = looked_at(sound)
    lines = list(report_lines(report))
    assert lines[0] == "other: warning"
    assert "1 without findings, 1 with warnings alone, 0 with errors. 0 errors and" in lines[-1]
    path = tmp_path / "report.json"
    path.write_text(report.model_dump_json())
    assert read_report(path) == report
    assert json.loads(path.read_text())["findings"][0]["category"] == "definition"
    path.write_text("{}")
    with pytest.raises(DatasetError, match="no report"):
        read_report(path)
