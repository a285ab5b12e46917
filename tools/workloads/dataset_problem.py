"""What could not be read of a dataset, with its place, and what makes a line no workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..schema.constraints import names_in
from ..schema.flashinfer_trace import Definition, Trace, Workload
from .policy import Policy


@dataclass(frozen=True)
class DatasetProblem:
    """A file, or a line of one, that could not be used or is doubtful."""

    file: str
    line: int | None
    field: str
    message: str

    @property
    def definition(self) -> str:
        """The name of the definition whose file it is, by the file's or its folder's name."""
        file = Path(self.file)
        return file.parent.name if file.name == "definition.json" else file.stem

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return (
            f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"
        )


def line_fault(
    trace: Trace, definition: Definition, found: Mapping[str, Workload]
) -> tuple[str, str] | None:
    """What makes a line unusable as a workload of this definition: field and message."""
    axes = trace.workload.axes
    missing = [name for name in definition.var_axes if name not in axes]
    undeclared = [name for name in axes if name not in definition.axes]
    unknown_inputs = [name for name in trace.workload.inputs if name not in definition.inputs]
    faults = (
        (trace.definition != definition.name, "definition", f"{trace.definition!r} is another"),
        (not trace.is_workload_only, "solution", "a workload line cannot hold a solution's run"),
        (bool(missing), "workload.axes", f"no size for {', '.join(missing)}"),
        (bool(undeclared), "workload.axes", f"no such axis: {', '.join(undeclared)}"),
        (bool(unknown_inputs), "workload.inputs", f"no such input: {', '.join(unknown_inputs)}"),
        (trace.workload.uuid in found, "workload.uuid", f"{trace.workload.uuid!r} is repeated"),
    )
    return next(((place, message) for bad, place, message in faults if bad), None)


def violated_constraint(
    trace: Trace, definition: Definition, policy: Policy
) -> tuple[str, str] | None:
    """The first constraint that a workload violates: field, and message with the sizes in it."""
    axes = trace.workload.axes
    for text in definition.violated_constraints(axes):
        if text in policy.waived_constraints:
            continue
        sizes = definition.axis_values(axes)
        shown = ", ".join(f"{name} = {sizes[name]}" for name in names_in(text) if name in sizes)
        varying = [name for name in names_in(text) if name in axes]
        place = ".".join(["workload.axes", *varying[:1]])
        return place, f"{trace.workload.uuid} violates the constraint {text!r} ({shown})"
    return None
