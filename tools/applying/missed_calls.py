"""Calls that went to the original: counted by why and by shape, and written as workloads.

Nothing of a tensor's contents is kept.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RequestError
from ..schema.deployment.kernel_index import IndexedKernel
from .proven_sizes import Missed

MOST_DISTINCT = 1_000
"""What is distinguished; further ones are counted together."""
Shapes = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True)
class MissedCall:
    """Calls alike that went to the original.

    Attributes:
        reason: why the kernel was not called.
        shapes: of the inputs, None for a number; empty for the calls that were too many to tell.
        axes: sizes of the operator's varying axes; None where the shapes are no call of it.
        numbers: the last values of the inputs that are numbers.
        count: how many calls.
    """

    reason: Missed
    shapes: Shapes
    axes: Mapping[str, int] | None
    numbers: Mapping[str, bool | int | float]
    count: int


class MissedCalls:
    """Counts of the calls of one routed function that went to the original; for any threads."""

    def __init__(self, kernel: IndexedKernel) -> None:
        self._kernel = kernel
        self._lock = threading.Lock()
        self._found: dict[tuple[Missed, Shapes], MissedCall] = {}

    def add(
        self,
        reason: Missed,
        shapes: Shapes,
        axes: Mapping[str, int] | None,
        values: Sequence[Any],
    ) -> None:
        """Counts one call."""
        key = (reason, shapes)
        forms = zip(self._kernel.inputs.items(), values, strict=False)
        numbers = {
            name: value
            for (name, form), value in forms
            if form.shape is None and isinstance(value, bool | int | float)
        }
        with self._lock:
            if key not in self._found and len(self._found) >= MOST_DISTINCT:
                key, axes, numbers = (reason, ()), None, {}
            before = self._found.get(key)
            count = before.count + 1 if before else 1
            self._found[key] = MissedCall(reason, key[1], axes, numbers, count)

    def all(self) -> list[MissedCall]:
        """What was counted, the most frequent first."""
        with self._lock:
            found = list(self._found.values())
        return sorted(found, key=lambda call: -call.count)

    def workloads(self) -> list[dict[str, Any]]:
        """The calls of this operator on sizes that are not proven, as workloads to be judged.

        Floating-point tensors and integers alike are to be drawn: what was in them is not known.
        """
        found: dict[tuple[tuple[str, int], ...], MissedCall] = {}
        for call in self.all():
            if call.reason is Missed.SIZE and call.axes is not None:
                found.setdefault(tuple(call.axes.items()), call)
        lines = []
        for axes, call in found.items():
            inputs: dict[str, dict[str, Any]] = {}
            for name, form in self._kernel.inputs.items():
                inputs[name] = {"type": "random"}
                if form.shape is None:
                    inputs[name] = {"type": "scalar", "value": call.numbers[name]}
            name = "-".join(["missed", *(f"{axis}{size}" for axis, size in axes)])
            workload = {"uuid": name, "axes": dict(axes), "inputs": inputs}
            lines.append({"definition": self._kernel.definition, "workload": workload})
        return lines

    def write_workloads(self, path: Path | str) -> int:
        """Writes those workloads as JSON lines into a new file; returns how many.

        Raises:
            RequestError: when the file exists or cannot be written.
        """
        lines = self.workloads()
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(line)}\n" for line in lines)
        except OSError as error:
            raise RequestError(
                f"{path} cannot be written: {error.strerror}",
                remedy="Name a file that does not exist yet.",
            ) from error
        return len(lines)
