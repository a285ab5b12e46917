"""A dataset as it lies on disk: everything that can be read, and what cannot."""

from __future__ import annotations

import pytest

from kernel_harness.tools.datasets.trace_set import read_trace_set
from kernel_harness.tools.errors import DatasetError


def test_files_count_by_their_fields_wherever_they_lie(folder) -> None:
    folder.definition()
    folder.file("solutions/example.json", folder.root.joinpath(folder.solution("a")).read_text())
    (folder.root / "solutions/me/scale/double/a.json").unlink()
    folder.workloads(1, 2)
    folder.traces("a", {1: 0.5})
    found = read_trace_set(folder.root)
    assert [(p.file, p.stem, p.parts) for p in found.solutions] == [
        ("solutions/example.json", "example", ())
    ]
    assert [w.uuid for w in found.workloads_of("double")] == ["w-1", "w-2"]
    assert [t.solution for t in found.traces_of("double")] == ["a"]
    assert found.problems == ()


def test_what_cannot_be_read_hides_nothing_else(contest) -> None:
    contest.file("definitions/scale/cut.json", '{"name": "cut",')
    contest.lines("traces/ann/scale/double.jsonl", ["not a trace"])
    contest.file("solutions/ann/none.json", {"name": "none"})
    found = read_trace_set(contest.root)
    assert {str(p).split(": ")[0] for p in found.problems} == {
        "definitions/scale/cut.json",
        "solutions/ann/none.json",
        "traces/ann/scale/double.jsonl:4",
    }
    assert set(found.by_name) == {"double", "triple"}


def test_a_folder_that_is_no_dataset_is_refused(tmp_path) -> None:
    with pytest.raises(DatasetError, match="no FlashInfer-Trace dataset"):
        read_trace_set(tmp_path)
    (tmp_path / "definitions").mkdir()
    with pytest.raises(DatasetError, match="no definition"):
        read_trace_set(tmp_path)
