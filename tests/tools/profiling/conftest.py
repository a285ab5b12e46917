"""A small operator, candidates for it, and inputs as the judge would write them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from kernel_harness.tools.profiling.diagnosis.bottleneck import WorkFloors
from kernel_harness.tools.profiling.runs.run_files import Subject, WorkloadInputs
from kernel_harness.tools.schema.definition import Definition
from kernel_harness.tools.schema.flashinfer_trace import Solution

DEFINITION = {
    "name": "scale",
    "op_type": "elementwise",
    "axes": {"n": {"type": "var"}},
    "inputs": {
        "x": {"shape": ["n"], "dtype": "float32"},
        "factor": {"shape": None, "dtype": "float32"},
    },
    "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
    "reference": "def run(x, factor):\n    return x * factor\n",
}
BY_DESTINATION = "def run(x, factor, y):\n    y.copy_(x * factor)\n"


def subject_of(source: str, *, by_destination: bool = True) -> Subject:
    """A Python candidate for `scale`."""
    solution = {
        "name": "mine",
        "definition": "scale",
        "author": "test",
        "spec": {
            "language": "python",
            "target_hardware": ["cuda"],
            "entry_point": "kernel.py::run",
            "destination_passing_style": by_destination,
        },
        "sources": [{"path": "kernel.py", "content": source}],
    }
    return Subject(Solution.model_validate(solution), Definition.model_validate(DEFINITION))


def write_inputs(path: Path, values: list[float], factor: float) -> None:
    """The safetensors format by hand: no torch is needed to make a file of floats."""
    data = struct.pack(f"<{len(values)}f", *values)
    header = {
        "__metadata__": {"scalars": json.dumps({"factor": factor})},
        "x": {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, len(data)]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.fixture
def subject() -> Subject:
    """A candidate that does its work."""
    return subject_of(BY_DESTINATION)


@pytest.fixture
def workload(tmp_path: Path) -> WorkloadInputs:
    """A workload of four elements, its inputs on disk."""
    path = tmp_path / "inputs.safetensors"
    write_inputs(path, [1.0, 2.0, 3.0, 4.0], 2.0)
    return WorkloadInputs("w-1", {"n": 4}, path, WorkFloors(bytes_moved=32.0))
