"""Several datasets become one; where they contradict each other nothing is written."""

from __future__ import annotations

import pytest

from kernel_harness.tools.datasets.merging import merge
from kernel_harness.tools.datasets.ranking import rank
from kernel_harness.tools.datasets.trace_set import read_trace_set
from kernel_harness.tools.errors import DatasetError, RequestError

from .folders import DatasetFolder


@pytest.fixture
def other(tmp_path) -> DatasetFolder:
    """A second folder: one definition of the first, another workload, a third author."""
    found = DatasetFolder(tmp_path / "other")
    found.definition("double")
    found.workloads(1, 32)
    found.solution("quicker", "cat")
    found.traces("quicker", {1: 0.2, 8: 0.4}, "cat", reference_ms=4.0)
    return found


def joined(tmp_path, *folders: DatasetFolder):
    done = merge([read_trace_set(f.root) for f in folders], tmp_path / "out")
    return done, read_trace_set(done.folder)


def test_everything_of_both_is_in_it_once(contest, other, tmp_path) -> None:
    done, found = joined(tmp_path, contest, other)
    assert (done.definitions, done.workloads, done.solutions, done.traces) == (2, 5, 6, 13)
    assert found.problems == ()
    assert [w.uuid for w in found.workloads_of("double")] == ["w-1", "w-8", "w-32"]
    assert rank(found).authors[0].author == "cat"
    assert (done.folder / "traces/cat/scale/double.jsonl").is_file()


def test_a_folder_joined_with_itself_is_itself(contest, tmp_path) -> None:
    done, found = joined(tmp_path, contest, contest)
    assert done.repeated == 11
    assert rank(found) == rank(read_trace_set(contest.root))


def test_tensor_files_come_along_and_what_is_missing_is_named(contest, other, tmp_path) -> None:
    stored = {"x": {"type": "safetensors", "path": "blob/x.safetensors", "tensor_key": "x"}}
    missing = {"x": {"type": "safetensors", "path": "blob/none.safetensors", "tensor_key": "x"}}
    contest.workloads(64, inputs=stored)
    other.workloads(65, inputs=missing)
    contest.file("blob/x.safetensors", "bytes")
    done, _ = joined(tmp_path, contest, other)
    assert (done.folder / "blob/x.safetensors").read_text() == "bytes"
    assert done.missing == ("blob/none.safetensors",)


@pytest.mark.parametrize("kind", ["definition", "solution", "workload", "tensor file"])
def test_contradictions_are_named_and_nothing_is_written(contest, other, tmp_path, kind) -> None:
    if kind == "definition":
        other.definition("double", reference="def run(x):\n    return x * 3\n")
    elif kind == "solution":
        other.solution("quick", "cat", source="def run(x, y):\n    y.copy_(x + x)\n")
    elif kind == "workload":
        other.workloads(8, inputs={"x": {"type": "random"}, "z": {"type": "random"}})
    else:
        for which, words in ((contest, "one"), (other, "another")):
            spec = {"type": "safetensors", "path": "blob/x.safetensors", "tensor_key": "x"}
            which.workloads(64, inputs={"x": spec})
            which.file("blob/x.safetensors", words)
    with pytest.raises(DatasetError, match=f"{kind} differs.*dataset.*other"):
        joined(tmp_path, contest, other)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read_is_not_left_out_unsaid(contest, other, tmp_path) -> None:
    other.file("solutions/cat/cut.json", "{")
    with pytest.raises(DatasetError, match="cut.json"):
        joined(tmp_path, contest, other)


def test_a_folder_in_use_is_not_written_to(contest, tmp_path) -> None:
    with pytest.raises(RequestError, match="in use"):
        merge([read_trace_set(contest.root)], contest.root)
