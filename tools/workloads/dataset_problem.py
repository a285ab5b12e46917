"""What could not be read of a dataset, with its place, and what makes a workload unusable."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from ..schema.constraints import names_in
from ..schema.flashinfer_trace import (
    Definition,
    SafetensorsInput,
    Trace,
    Workload,
)
from .operators import Operator
from .policy import Policy, sampled_outputs


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

    def is_of(self, operator: Operator) -> bool:
        """Whether it is of a file of this operator."""
        folder = operator.folder
        return self.definition == operator.name or (
            folder is not None and Path(self.file).is_relative_to(folder)
        )

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return (
            f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"
        )


def fault_of(
    trace: Trace,
    definition: Definition,
    policy: Policy,
    found: Container[str],
    *,
    own_inputs: bool,
) -> tuple[str, str] | None:
    """What makes a line unusable as a workload of this definition: field and message.

    Args:
        found: uuids of the lines before it.
        own_inputs: whether code makes the inputs, scalars too.
    """
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
    fault = next(((place, message) for bad, place, message in faults if bad), None)
    if fault is None and not own_inputs:
        fault = _valueless(trace.workload, definition, policy)
    return fault or _violated(trace, definition, policy)


def _valueless(
    workload: Workload, definition: Definition, policy: Policy
) -> tuple[str, str] | None:
    """The first scalar that nothing gives a value: one drawn at random makes another operator."""
    seeds = {
        name for sampled in sampled_outputs(definition, policy).values() for name in sampled.seeds
    }
    known = {*workload.scalars(definition), *seeds}
    for name, spec in definition.inputs.items():
        stored = isinstance(workload.inputs.get(name), SafetensorsInput)
        if spec.shape is None and name not in known and not stored:
            return f"workload.inputs.{name}", (
                f"{workload.uuid} gives the scalar {name!r} no value; state "
                '{"type": "scalar", "value": …}, or give the input a "default" in the definition'
            )
    return None


def _violated(trace: Trace, definition: Definition, policy: Policy) -> tuple[str, str] | None:
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


def with_reference(definition: bytes, source: str) -> bytes:
    """The text of a definition with a file's source as its reference, where it states none."""
    try:
        fields = json.loads(definition)
    except ValueError:  # which the model says better
        return definition
    if not isinstance(fields, dict) or "reference" in fields:
        return definition
    return json.dumps({**fields, "reference": source}).encode()
