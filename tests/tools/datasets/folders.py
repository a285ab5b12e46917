"""A FlashInfer-Trace folder of our own, written piece by piece."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REFERENCE = "def run(x):\n    return x * 2\n"


@dataclass(frozen=True)
class DatasetFolder:
    """Writes a dataset as FlashInfer-Bench lays it out."""

    root: Path

    def definition(self, name: str = "double", op_type: str = "scale", **changes: Any) -> str:
        tensor = {"shape": ["m", "n"], "dtype": "float32"}
        content = {
            "name": name,
            "op_type": op_type,
            "description": "Twice its input.",
            "axes": {"m": {"type": "var"}, "n": {"type": "const", "value": 4}},
            "inputs": {"x": tensor},
            "outputs": {"y": tensor},
            "reference": REFERENCE,
        }
        return self.file(f"definitions/{op_type}/{name}.json", content | changes)

    def workloads(
        self, *sizes: int, definition: str = "double", op_type: str = "scale", **changes: Any
    ) -> str:
        lines = [{"definition": definition, "workload": workload(m, **changes)} for m in sizes]
        return self.lines(f"workloads/{op_type}/{definition}.jsonl", lines)

    def solution(
        self,
        name: str,
        author: str = "me",
        *,
        definition: str = "double",
        op_type: str = "scale",
        source: str = "def run(x, y):\n    y.copy_(x * 2)\n",
        **spec: Any,
    ) -> str:
        content = solution(name, author, definition=definition, source=source, **spec)
        return self.file(f"solutions/{author}/{op_type}/{definition}/{name}.json", content)

    def traces(
        self,
        name: str,
        latencies_ms: Mapping[int, float | str],
        author: str = "me",
        *,
        definition: str = "double",
        op_type: str = "scale",
        reference_ms: float = 0.0,
        error: float = 0.001,
    ) -> str:
        """A trace for each size; a text in place of a latency is the status of a failure."""
        lines = [
            trace(name, m, found, definition=definition, reference_ms=reference_ms, error=error)
            for m, found in latencies_ms.items()
        ]
        return self.lines(f"traces/{author}/{op_type}/{definition}.jsonl", lines)

    def file(self, name: str, content: Any) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return name

    def lines(self, name: str, values: Sequence[Any]) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(value)}\n" for value in values)
        return name


def workload(m: int, **changes: Any) -> dict[str, Any]:
    return {"uuid": f"w-{m}", "axes": {"m": m}, "inputs": {"x": {"type": "random"}}} | changes


def solution(
    name: str,
    author: str = "me",
    *,
    definition: str = "double",
    source: str = "def run(x, y):\n    y.copy_(x * 2)\n",
    **spec: Any,
) -> dict[str, Any]:
    return {
        "name": name,
        "definition": definition,
        "author": author,
        "spec": {
            "language": "python",
            "target_hardware": ["cpu", "cuda"],
            "entry_point": "main.py::run",
            **spec,
        },
        "sources": [{"path": "main.py", "content": source}],
    }


def trace(
    name: str,
    m: int,
    found: float | str,
    *,
    definition: str = "double",
    reference_ms: float = 0.0,
    error: float = 0.001,
) -> dict[str, Any]:
    judged: dict[str, Any] = {
        "environment": {"hardware": "NVIDIA H200", "libs": {}},
        "timestamp": "2026-01-01T00:00:00",
        "log": "",
    }
    if isinstance(found, str):
        judged["status"] = found
    else:
        judged |= {
            "status": "PASSED",
            "correctness": {"max_absolute_error": error, "max_relative_error": error},
            "performance": {
                "latency_ms": found,
                "reference_latency_ms": reference_ms,
                "speedup_factor": reference_ms / found,
            },
        }
    if found == "INCORRECT_NUMERICAL":
        judged["correctness"] = {"max_absolute_error": 1.0, "max_relative_error": 1.0}
    return {
        "definition": definition,
        "workload": workload(m),
        "solution": name,
        "evaluation": judged,
    }
