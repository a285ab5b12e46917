"""One call of a solution and one of the reference on the same inputs, tensor beside tensor.

Each is called in a process of its own, and says itself what its tensors were: nothing here is a
verdict, or evidence of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ...errors import InfrastructureError
from ...messages.candidate import TraceRequest
from ...messages.judge import CallInspected, ComparedTensor, InspectCall
from ...messages.profiler import OUTPUT_NAME
from ...messages.sockets import close_all
from ...text import shorten
from ..calls.judged_call import CallOptions
from ..operators.input_sets import InputSet
from ..processes.context import JudgeContext
from ..processes.lost import ProcessLost
from .called_solution import CalledSolution
from .traced_calls import copy_bounded

MOST_COMPARED = 4 << 20
"""Elements of a tensor that are compared; of a larger one the first."""
NAME_CHARACTERS = 120


@dataclass(frozen=True)
class _Found:
    """What one call left: its tensors by name, and those that had no place."""

    tensors: Mapping[str, torch.Tensor]
    left_out: list[str]
    fault: str | None = None


def inspect_call(request: InspectCall, context: JudgeContext) -> CallInspected:
    """Calls both, one after the other, and compares what is called alike.

    Of a candidate's call that fails what it named until then is compared.

    Raises:
        HarnessError: when the operator or the harness failed.
    """
    ours = _called(request, context, "ours.safetensors")
    if ours.fault is not None and not ours.tensors:
        return CallInspected(request_id=request.request_id, fault=ours.fault)
    changes = {"solution": request.reference, "content_hash": request.reference_hash}
    theirs = _called(request.model_copy(update=changes), context, "reference.safetensors")
    names = list(request.definition["outputs"])
    pairs, unpaired = _paired(ours, theirs, request.pairs, names)
    return CallInspected(
        request_id=request.request_id,
        fault=ours.fault,
        reference_fault=theirs.fault,
        compared=_compared(ours, theirs, pairs, names),
        unpaired=unpaired,
        left_out=[*ours.left_out, *(f"the reference's {name}" for name in theirs.left_out)],
    )


def not_inspected(request: InspectCall, words: str) -> CallInspected:
    """The answer where the operator or the harness failed."""
    return CallInspected(request_id=request.request_id, not_made=shorten(words, 1_000))


def _called(request: InspectCall, context: JudgeContext, file: str) -> _Found:
    inspecting = _Inspecting(request, context, context.spawn())
    inspecting.family = request.family
    try:
        return inspecting.call(Path(request.folder) / file)
    finally:
        context.end_later(inspecting.close)


class _Inspecting(CalledSolution):
    """One process whose call on the one workload is looked into."""

    def call(self, path: Path) -> _Found:
        """Builds, calls, and reads what the call left."""
        (input_set,), fault = self.built()
        if fault is not None:
            return _Found({}, [], fault)
        return self._inspected(input_set, path)

    def _inspected(self, input_set: InputSet, path: Path) -> _Found:
        layout = self.judged_call.placed(input_set)
        asked = self.judged_call.request_for(input_set, layout, CallOptions(late=False))
        message = TraceRequest(arguments=asked.arguments, outputs=asked.outputs, tensors=True)
        self.session.ask(message)
        answer = self.session.traced(self.request.call_timeout_s)
        if isinstance(answer, ProcessLost):
            return _Found({}, [], f"its process was lost: {answer.detail}")
        traced, fds = answer
        try:
            fault = f"the call fails: {traced.fault.message}" if traced.fault else None
            if len(fds) != 1:
                return _Found({}, [], fault or "the call fails: there are no tensors")
            copy_bounded(fds[0], path)
            found = _read(path)
            return replace(found, fault=fault or found.fault)
        except InfrastructureError as error:
            return _Found({}, [], str(error))
        finally:
            close_all(fds)


def _read(path: Path) -> _Found:
    """What a call left in a file, which its process wrote and may have written wrongly."""
    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads((file.metadata() or {}).get("left_out", "[]"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        return _Found({}, [], f"what it left cannot be read: {type(error).__name__}")
    left = [shorten(str(one), NAME_CHARACTERS) for one in said] if isinstance(said, list) else []
    return _Found(tensors, left)


def _paired(
    ours: _Found, theirs: _Found, pairs: Mapping[str, str], outputs: list[str]
) -> tuple[dict[str, str], list[str]]:
    """The pairs by the calls' own names, and in words those of which a tensor is not there.

    An output may be named as it is shown.
    """
    found: dict[str, str] = {}
    missing: list[str] = []
    for name, other in pairs.items():
        mine = _own_name(name, ours, outputs)
        known = _own_name(other, theirs, outputs)
        if mine is not None and known is not None:
            found[mine] = known
            continue
        who, lacking = ("the candidate", name) if mine is None else ("the reference", other)
        missing.append(f"{who} names no tensor {shorten(lacking, NAME_CHARACTERS)!r}")
    return found, missing


def _own_name(name: str, found: _Found, outputs: list[str]) -> str | None:
    return next((one for one in found.tensors if name in (one, _shown(one, outputs))), None)


def _compared(
    ours: _Found, theirs: _Found, pairs: Mapping[str, str], outputs: list[str]
) -> list[ComparedTensor]:
    """Every tensor of either call once: outputs first, then pairs, then what is alone."""
    rows: list[ComparedTensor] = []
    taken: set[str] = set()
    for name, tensor in sorted(ours.tensors.items(), key=lambda item: _order(item[0])):
        other = pairs.get(name, name)
        known = theirs.tensors.get(other)
        if known is not None:
            taken.add(other)
        rows.append(_row(_shown(name, outputs), tensor, _shown(other, outputs), known))
    for name, tensor in sorted(theirs.tensors.items(), key=lambda item: _order(item[0])):
        if name not in (*taken, *outputs) and not name.startswith(OUTPUT_NAME):
            shape = list(tensor.shape)
            row = ComparedTensor(reference=_shown(name, outputs), reference_shape=shape)
            rows.append(row.model_copy(update={"reference_dtype": _dtype(tensor)}))
    return rows


def _order(name: str) -> tuple[bool, str]:
    return not name.startswith(OUTPUT_NAME), name


def _shown(name: str, outputs: list[str]) -> str:
    """A tensor's name; that of an output is the definition's."""
    position = name.removeprefix(OUTPUT_NAME)
    if name.startswith(OUTPUT_NAME) and position.isdigit() and int(position) < len(outputs):
        return f"output {outputs[int(position)]}"
    return shorten(name, NAME_CHARACTERS)


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _row(name: str, tensor: torch.Tensor, other: str, known: torch.Tensor | None) -> ComparedTensor:
    """One tensor with its figures, beside the reference's where that has one of its size."""
    values = tensor.flatten()[:MOST_COMPARED].to(torch.float64)
    finite = torch.isfinite(values)
    row = ComparedTensor(
        name=name,
        shape=list(tensor.shape),
        dtype=_dtype(tensor),
        not_finite=int((~finite).sum()),
        rms=_rms(values[finite]),
    )
    if known is None:
        return row
    changes: dict[str, object] = {
        "reference": other,
        "reference_shape": list(known.shape),
        "reference_dtype": _dtype(known),
    }
    if known.numel() == tensor.numel() and tensor.numel():
        changes |= _differences(values, known, tensor)
    return row.model_copy(update=changes)


def _differences(
    values: torch.Tensor, known: torch.Tensor, tensor: torch.Tensor
) -> dict[str, object]:
    due = known.flatten()[:MOST_COMPARED].to(torch.float64)
    gaps = (values - due).abs()
    gaps = torch.where(torch.isnan(values) & torch.isnan(due), torch.zeros_like(gaps), gaps)
    gaps = torch.where(values == due, torch.zeros_like(gaps), gaps)  # of equal infinities
    worst = int(torch.nan_to_num(gaps, nan=torch.inf).argmax())
    finite = torch.isfinite(gaps)
    scale = _rms(due[torch.isfinite(due)])
    error = _rms(gaps[finite])
    index = torch.unravel_index(torch.tensor(worst), tensor.shape)
    whole = bool(finite.all())
    return {
        "equal": bool((gaps == 0).all()),
        "max_absolute": float(gaps.max()) if whole else None,
        "rms_relative": error / scale if whole and scale else None,
        "worst_index": [int(i) for i in index],
        "got": _number(values[worst]),
        "expected": _number(due[worst]),
    }


def _rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt()) if values.numel() else 0.0


def _number(value: torch.Tensor) -> str:
    return f"{float(value):.6g}"
