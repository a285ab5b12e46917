"""An operator's folder, written from a dataset that holds one definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...schema.flashinfer_trace import Definition, SafetensorsInput, Trace

CONTENTS = "contents.safetensors"
INPUTS = '''"""Integers and masks as the program had them; all else is drawn by statistics."""

from pathlib import Path

import torch
from safetensors.torch import load_file

FAMILIES = ("typical",)
FORMS = {forms!r}
"""Axes, element type, least and largest of the inputs that no statistics tell."""
KEPT = load_file(Path(__file__).with_name("contents.safetensors"))


def generate(axes, *, structure, scalars, generator, device, family="typical"):
    """Takes what was kept of this workload, and draws the like where nothing was."""
    made = dict(scalars)
    for name, (shape, dtype, low, high) in FORMS.items():
        key = f"{{(structure or {{}}).get('kept')}}.{{name}}"
        sizes = [axes[axis] for axis in shape]
        if key in KEPT:
            made[name] = KEPT[key].to(device)
        else:
            drawn = torch.randint(
                int(low), int(high) + 1, sizes, generator=generator, device=generator.device
            )
            made[name] = drawn.to(device, getattr(torch, dtype))
    return made
'''


def write_operator(
    dataset: Path, definition: Definition, name: str, reference: str, folder: Path
) -> int:
    """Writes an operator's folder; returns how many workloads it has.

    Args:
        dataset: that has the definition, its workloads and their tensors.
        name: of the operator; the folder has it, too.
        reference: that computes it.
    """
    (lines,) = (dataset / "workloads").rglob(f"{definition.name}.jsonl")
    traces = [Trace.model_validate_json(line) for line in lines.read_text("utf-8").splitlines()]
    stated = definition.model_dump(mode="json", exclude_unset=True)
    stated |= {"name": name, "reference": reference}
    folder.mkdir(parents=True)
    (folder / "definition.json").write_text(json.dumps(stated, indent=1) + "\n", "utf-8")
    (folder / "reference.py").write_text(reference, "utf-8")
    kept = _kept(dataset, traces, definition, folder)
    with (folder / "workloads.jsonl").open("w", encoding="utf-8") as file:
        for trace in traces:
            workload = trace.workload.model_dump(mode="json", exclude_unset=True)
            for given in kept.get(trace.workload.uuid, ()):
                workload["inputs"][given] = {"type": "random"}
            file.write(json.dumps({"definition": name, "workload": workload}) + "\n")
    return len(traces)


def _kept(
    dataset: Path, traces: list[Trace], definition: Definition, folder: Path
) -> dict[str, list[str]]:
    """Puts the tensors of workloads into one file, with code that reads it; returns their names."""
    from safetensors.torch import load_file, save_file

    found: dict[str, list[str]] = {}
    tensors: dict[str, Any] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for trace in traces:
        for name, given in trace.workload.inputs.items():
            if isinstance(given, SafetensorsInput):
                value = load_file(dataset / given.path)[given.tensor_key]
                tensors[f"{trace.workload.uuid}.{name}"] = value
                found.setdefault(trace.workload.uuid, []).append(name)
                if value.numel():
                    low, high = ranges.get(name, (float(value.min()), float(value.max())))
                    ranges[name] = min(low, float(value.min())), max(high, float(value.max()))
    if not tensors:
        return {}
    save_file(tensors, folder / CONTENTS)
    forms = {
        name: (list(form.shape), str(form.dtype), *ranges.get(name, (0.0, 1.0)))
        for name, form in definition.inputs.items()
        if form.shape is not None and any(name not in trace.workload.statistics for trace in traces)
    }
    (folder / "inputs.py").write_text(INPUTS.format(forms=forms), "utf-8")
    structure = {uuid: {"kept": uuid} for uuid in found}
    (folder / "structure.json").write_text(json.dumps(structure, indent=1) + "\n", "utf-8")
    return found
