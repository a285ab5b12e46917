"""Adds traces to the files of a dataset, where FlashInfer-Bench looks for them, once each.

A run may be killed at any moment: lines are appended whole, one write a file, and a line that was
cut off is taken out before the next one is added.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from ..archive.export.names import file_part
from ..schema.flashinfer_trace import Definition, Solution, Trace
from .trace_set import TRACES

Key = tuple[str, str, str, str, str]


class TraceWriter:
    """Adds traces to one dataset.

    Args:
        root: the dataset's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known = {_key(trace) for trace in _traces(root)}

    def covers(self, definition: str, solution: str, workloads: Iterable[str]) -> bool:
        """Whether there is a trace of the solution on every one of these workloads."""
        known = {key[2] for key in self._known if key[:2] == (definition, solution)}
        return known.issuperset(workloads)

    def add(self, definition: Definition, solution: Solution, traces: Iterable[Trace]) -> int:
        """Adds those traces of a solution that are not there yet; how many that were."""
        new = {key: trace for trace in traces if (key := _key(trace)) not in self._known}
        if not new:
            return 0
        folder = self._root / TRACES / file_part(solution.author) / file_part(definition.op_type)
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{trace.model_dump_json()}\n" for trace in new.values())
        _append(folder / f"{file_part(definition.name)}.jsonl", text.encode())
        self._known |= set(new)
        return len(new)


def _key(trace: Trace) -> Key:
    judged = trace.evaluation
    status, timestamp = (judged.status.value, judged.timestamp) if judged else ("", "")
    return (trace.definition, trace.solution or "", trace.workload.uuid, status, timestamp)


def _traces(root: Path) -> Iterator[Trace]:
    for path in sorted((root / TRACES).rglob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            # What cannot be read is for `validate` to say.
            with contextlib.suppress(ValidationError):
                yield Trace.model_validate_json(line)


def _append(path: Path, text: bytes) -> None:
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        content = file.read(end)
        whole = content.rfind(b"\n") + 1
        if whole < end:
            if _is_json(content[whole:]):
                text = b"\n" + text
            else:
                file.truncate(whole)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
