"""Runs a program while one of its functions is recorded, and writes it as an operator's folder.

    python -m …extraction.extracted_run REQUEST

REQUEST is a file that says what is run and recorded. Started by name.
"""

from __future__ import annotations

import functools
import inspect
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from ...collecting.adapters.table import adapter_of
from ...collecting.drafting.dataset_files import write_dataset
from ...collecting.drafting.definition_draft import DefinitionDraft
from ...collecting.recording.call_groups import ByteLimit, CallGroup
from ...collecting.recording.targets import place_of
from ...collecting.recording.traced_function import TracedFunction
from ...collecting.tracing import MOST_BYTES
from ...errors import HarnessError, RequestError
from ...schema.flashinfer_trace import Definition
from ..program import FAILED, run_as_main
from ..steps import watch_steps
from ..verification.target_files import write_target
from ..verification.verified_runs import KernelTarget
from .call_samples import CallSample, SampledFunction, fault_of
from .exported_reference import exported_reference
from .extracted_operator import ExtractedOperator, ExtractRequest
from .operator_files import write_operator

NO_OPERATOR = "is no operator that a definition can describe"
NO_SAMPLE = "no call with whole tensors was kept"
SMALLER = "Extract a part of it, or put the work into a function of tensors and numbers."


class RecordedModules:
    """Records the forwards of modules at some paths, from the first step on.

    Args:
        target: name of the forward that they have in common.
    """

    def __init__(self, target: str, where: tuple[str, ...]) -> None:
        self.recorder: TracedFunction | None = None
        self.samples: SampledFunction | None = None
        self._target, self._where = target, where

    def begin(self, root: torch.nn.Module | None) -> None:
        """At the first step, begins to record."""
        if self.recorder is not None or root is None:
            return
        modules = [root.get_submodule(path) for path in self._where]
        forward = type(modules[0]).forward
        self.recorder = TracedFunction(self._target, forward, ByteLimit(MOST_BYTES))
        self.samples = SampledFunction(forward)
        called = self.samples.wrapper(self.recorder.wrapper())
        for module in modules:
            module.forward = functools.partial(called, module)

    def end(self, result: Any) -> None:
        """A step ended."""


def main(arguments: list[str]) -> int:
    """Runs the program and writes the folder; returns the exit status."""
    (asked,) = arguments
    request = TypeAdapter(ExtractRequest).validate_json(Path(asked).read_bytes())
    try:
        if request.where:
            modules = RecordedModules(request.target, request.where)
            status = run_as_main(request.program, lambda: watch_steps(request.step, modules))
            recorder, samples = modules.recorder, modules.samples
        else:
            recorder, samples, status = _function_recorded(request)
        if status:
            return status
        if recorder is None or samples is None or not recorder.calls:
            raise RequestError(
                f"No call of {request.target} was recorded: the program holds it elsewhere, too",
                remedy="What is kept in a table or an object cannot be replaced by its name: "
                "extract the block around it.",
            )
        if not samples.samples:
            why = ", ".join(recorder.skipped) or "it returns something beside tensors"
            raise RequestError(f"{request.target} {NO_OPERATOR}: {why}", remedy=SMALLER)
        done = _written(request, recorder, samples.samples)
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    Path(request.answer).write_bytes(TypeAdapter(ExtractedOperator).dump_json(done))
    return 0


def _function_recorded(
    request: ExtractRequest,
) -> tuple[TracedFunction, SampledFunction, int]:
    """Runs the program while a function is recorded."""
    found: list[Any] = []

    def prepare() -> None:
        place = place_of(request.target)
        adapter = adapter_of(request.target, place.original)
        samples = SampledFunction(place.original, adapter)
        recorder = SampledRecorder(
            request.target, place.original, ByteLimit(MOST_BYTES), adapter=adapter
        )
        recorder.samples = samples
        place.put(recorder)
        found.extend((recorder, samples))

    status = run_as_main(request.program, prepare)
    recorder, samples = found
    return recorder, samples, status


class SampledRecorder(TracedFunction):
    """Records a function's calls, and keeps a few of them whole."""

    unwraps = True
    samples: SampledFunction

    def wrapper(self) -> Callable[..., Any]:
        """The function that stands for the original."""
        return self.samples.wrapper(super().wrapper())


def _written(
    request: ExtractRequest, recorder: TracedFunction, samples: list[CallSample]
) -> ExtractedOperator:
    with tempfile.TemporaryDirectory() as place:
        dataset = Path(place)
        written = write_dataset([recorder], dataset)
        if not written:
            why = ", ".join(recorder.skipped) or "no call had tensors alone"
            raise RequestError(f"{request.target} {NO_OPERATOR}: {why}", remedy=SMALLER)
        first = written[0]
        (path,) = (dataset / "definitions").rglob(f"{first.name}.json")
        definition = Definition.model_validate_json(path.read_bytes())
        fitting = [one for one in samples if _fits(one, first.draft, recorder.original)]
        if not fitting:
            raise RequestError(f"{request.target} {NO_OPERATOR}: {NO_SAMPLE}", remedy=SMALLER)
        reference, kind = _reference(definition, first.unfinished, recorder, fitting)
        folder = Path(request.out)
        workloads = write_operator(dataset, definition, request.name, reference, folder)
    target = _target(request, recorder, first.draft, fitting[0])
    if target is not None:
        write_target(target, folder)
    return ExtractedOperator(str(folder), workloads, first.calls, kind, target, len(written) - 1)


def _fits(sample: CallSample, draft: DefinitionDraft, forward: Callable[..., Any]) -> bool:
    """Whether a call is one of those that a draft describes."""
    given = sample.inputs(forward)
    named = all(isinstance(given.get(n), torch.Tensor | int | float) for n in draft.inputs)
    return named and all(
        n in given and (tuple(given[n]) if isinstance(given[n], list) else given[n]) == value
        for n, value in draft.constants.items()
    )


def _reference(
    definition: Definition,
    unfinished: str | None,
    recorder: TracedFunction,
    samples: list[CallSample],
) -> tuple[str, str]:
    """A reference that gives what the sampled calls gave, and what it is made of.

    Raises:
        RequestError: when neither the source nor the graph does.
    """
    names = list(definition.inputs)
    forward = recorder.original
    why = unfinished or fault_of(definition.reference, names, forward, samples)
    if why is None:
        return definition.reference, "source"
    if recorder.adapter is not None:
        raise RequestError(
            f"The reference of {recorder.name} does not give what its calls gave: {why}",
            remedy="Write the operator by hand: docs/how-to/own-operator.md.",
        )
    varying = {
        name: {n for n, axis in enumerate(form.shape or ()) if axis in definition.var_axes}
        for name, form in definition.inputs.items()
    }
    largest = max(samples, key=lambda one: sum(t.numel() for t in one.outputs))
    try:
        reference = exported_reference(forward, largest, names, varying)
        fault = fault_of(reference, names, forward, samples)
    except ValueError as error:
        reference, fault = "", str(error)
    if fault is None:
        return reference, "graph"
    raise RequestError(
        f"No reference of {recorder.name} stands alone: its source: {why}; its graph: {fault}",
        remedy="Extract a part of it, or write the operator by hand: docs/how-to/own-operator.md.",
    )


def _target(
    request: ExtractRequest, recorder: TracedFunction, draft: DefinitionDraft, sample: CallSample
) -> KernelTarget | None:
    """What the operator stands for: for each input the parameter, or what the module holds."""
    if request.target.startswith("__main__."):
        return None
    own = ""
    state: dict[str, str] = {}
    if sample.module is not None:
        own = next(iter(inspect.signature(recorder.original).parameters))
        tensors = [*sample.module.named_parameters(), *sample.module.named_buffers()]
        state = {name.replace(".", "_"): name for name, _ in tensors}

    def said(name: str) -> str:
        return name if name in sample.arguments else f"{own}.{state.get(name, name)}"

    return KernelTarget(
        request.target,
        request.name,
        {name: said(name) for name in draft.inputs},
        {said(name): _stated(value) for name, value in draft.constants.items()},
        tuple(n for n in draft.inputs if any(_is_laid_otherwise(g, n) for g in draft.groups)),
        draft.groups[0].returns,
        adapted=recorder.adapter is not None,
    )


def _stated(value: Any) -> Any:
    """A constant as a file can have it."""
    return str(value) if isinstance(value, torch.dtype) else value


def _is_laid_otherwise(group: CallGroup, name: str) -> bool:
    """Whether an input of some calls was not contiguous."""
    return name in group.tensors and group.tensors[name].strides is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
