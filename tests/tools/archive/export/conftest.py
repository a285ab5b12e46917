"""A folder with the operator of the made-up trials, as a dataset has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.schema.flashinfer_trace import Definition, Trace, Workload
from kernel_harness.tools.workloads.dataset import Dataset

BASELINE = """\
name = "plain"
definition = "scale_n64"
language = "python"
entry_point = "main.py::run"
"""


@pytest.fixture
def operators(tmp_path: Path, definition: Definition, workloads: list[Workload]) -> Dataset:
    """The operator, with a baseline and a peer."""
    folder = tmp_path / "operators" / definition.name
    for kind, name in (("solutions", "plain"), ("peers", "theirs")):
        place = folder / kind / name
        place.mkdir(parents=True)
        (place / "candidate.toml").write_text(BASELINE.replace("plain", name), encoding="utf-8")
        (place / "main.py").write_text(f"def run(x, y):\n    y.copy_(x * 2)  # {name}\n", "utf-8")
    (folder / "definition.json").write_text(definition.model_dump_json(), encoding="utf-8")
    lines = (Trace(definition=definition.name, workload=w).model_dump_json() for w in workloads)
    (folder / "workloads.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "policy.toml").write_text('baseline = "plain"\n', encoding="utf-8")
    return Dataset.load(tmp_path / "operators")
