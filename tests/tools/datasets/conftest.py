"""A small dataset with a baseline, two authors and a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from .devices import LATENCIES
from .folders import DatasetFolder


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    """An empty one."""
    return DatasetFolder(tmp_path / "dataset")


@pytest.fixture
def contest(folder: DatasetFolder) -> DatasetFolder:
    """Two definitions; on the first 'quick' is best on average and 'narrow' on one workload."""
    for name in ("double", "triple"):
        folder.definition(name)
        folder.workloads(1, 8, definition=name)
        folder.solution(f"plain_{name}", "baseline", definition=name)
        folder.traces(
            f"plain_{name}", {1: 1.0, 8: 2.0}, "baseline", definition=name, reference_ms=4.0
        )
    folder.solution("quick", "ann")
    folder.traces("quick", {1: 0.5, 8: 0.5}, "ann", reference_ms=4.0)
    folder.traces("quick", {1: 0.6}, "ann", reference_ms=4.0)
    folder.solution("narrow", "bob")
    folder.traces("narrow", {1: 0.25, 8: 1.6}, "bob", reference_ms=4.0)
    folder.solution("wrong", "bob", definition="triple")
    folder.traces(
        "wrong", {1: 0.1, 8: "INCORRECT_NUMERICAL"}, "bob", definition="triple", reference_ms=4.0
    )
    return folder


@pytest.fixture
def dataset(folder: DatasetFolder) -> DatasetFolder:
    """Four solutions of one definition, which differ in their sources."""
    folder.definition()
    folder.workloads(1, 8)
    for number, name in enumerate(LATENCIES):
        author = "baseline" if name == "plain" else "me"
        source = f"def run(x, y):\n    y.copy_(x * 2)  # {number}\n"
        folder.solution(name, author, source=source)
    return folder
