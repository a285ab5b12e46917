"""Small operators and datasets on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.schema.flashinfer_trace import Definition, Workload
from kernel_harness.tools.workloads.operators import Operator

REFERENCE = "def run(x, scale):\n    return x * scale\n"


def definition(name: str = "scale_rows", **changes: Any) -> dict[str, Any]:
    """A definition with two variable axes and one constant one."""
    return {
        "name": name,
        "op_type": "demo",
        "axes": {
            "rows": {"type": "var"},
            "pages": {"type": "var"},
            "width": {"type": "const", "value": 64},
        },
        "inputs": {
            "x": {"shape": ["rows", "width"], "dtype": "bfloat16"},
            "cache": {"shape": ["pages", "width"], "dtype": "float32"},
            "scale": {"shape": None, "dtype": "float32"},
        },
        "outputs": {"y": {"shape": ["rows", "width"], "dtype": "bfloat16"}},
        "reference": REFERENCE,
    } | changes


def line(uuid: str, rows: int, pages: int = 1, name: str = "scale_rows", **changes: Any) -> str:
    """One workload line."""
    inputs = {"scale": {"type": "scalar", "value": 2.0}}
    workload = {"uuid": uuid, "axes": {"rows": rows, "pages": pages}, "inputs": inputs} | changes
    return json.dumps({"definition": name, "workload": workload})


def make_operator(
    sizes: Sequence[tuple[int, int]], published: Sequence[float] = (), **fields: Any
) -> Operator:
    """An operator whose workloads have the given (rows, pages), and perhaps published latencies."""
    uuids = [f"w{position:04d}" for position in range(len(sizes))]
    workloads = tuple(
        Workload(uuid=uuid, axes={"rows": rows, "pages": pages}, inputs={})
        for uuid, (rows, pages) in zip(uuids, sizes, strict=True)
    )
    return Operator(
        definition=Definition.model_validate(definition()),
        workloads=workloads,
        published=dict(zip(uuids, published, strict=False)),
        **fields,
    )


Write = Callable[..., Path]


@pytest.fixture
def write_operator(tmp_path: Path) -> Write:
    """Writes an operator's folder under `kernels/` and returns `kernels/`."""

    def write(name: str = "scale_rows", lines: Sequence[str] | None = None, **files: str) -> Path:
        folder = tmp_path / "kernels" / name
        folder.mkdir(parents=True)
        (folder / "definition.json").write_text(json.dumps(definition(name)))
        rows = (
            lines if lines is not None else [line("w-a", 1, name=name), line("w-b", 8, name=name)]
        )
        (folder / "workloads.jsonl").write_text("\n".join(rows) + "\n")
        for path, text in files.items():
            (folder / path.replace("__", ".")).write_text(text)
        return tmp_path / "kernels"

    return write


@pytest.fixture
def write_dataset(tmp_path: Path) -> Write:
    """Writes a FlashInfer-Trace dataset and returns its root."""

    def write(name: str = "scale_rows", lines: Sequence[str] | None = None, **changes: Any) -> Path:
        root = tmp_path / "dataset"
        for shelf in ("definitions", "workloads"):
            (root / shelf / "demo").mkdir(parents=True, exist_ok=True)
        text = json.dumps(definition(name, **changes))
        (root / "definitions" / "demo" / f"{name}.json").write_text(text)
        rows = lines if lines is not None else [line("t-1", 3, name=name)]
        (root / "workloads" / "demo" / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
        return root

    return write
