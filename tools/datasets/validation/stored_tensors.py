"""Whether the tensors that workloads name are there, as their definition declares them.

Reads the head of each file alone, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ...schema.flashinfer_trace import Definition, SafetensorsInput, Workload
from ...workloads.dataset_problem import is_lfs_pointer

DTYPES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "BOOL": "bool",
}
"""The format's name of each of safetensors' types."""
Head = dict[str, tuple[list[int], str]]


class TensorFiles:
    """The tensor files of a dataset."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._heads: dict[str, Head | str] = {}

    def faults(self, definition: Definition, workload: Workload) -> Iterator[str]:
        """What is wrong with the tensors that a workload names, in words."""
        shapes = definition.input_shapes(definition.axis_values(workload.axes))
        for name, spec in workload.inputs.items():
            if not isinstance(spec, SafetensorsInput):
                continue
            head = self._head(spec.path)
            if isinstance(head, str):
                yield f"input {name}: {head}"
                continue
            if spec.tensor_key not in head:
                yield f"input {name}: {spec.path} has no tensor {spec.tensor_key!r}"
                continue
            shape, dtype = head[spec.tensor_key]
            if shape != list(shapes[name] or ()):
                yield f"input {name}: {spec.path} holds {shape}, not {list(shapes[name] or ())}"
            elif dtype != definition.inputs[name].dtype:
                due = definition.inputs[name].dtype
                yield f"input {name}: {spec.path} holds {dtype}, not {due}"

    def _head(self, name: str) -> Head | str:
        """Shapes and types of a file's tensors, or why they cannot be read."""
        if name not in self._heads:
            self._heads[name] = self._read(name)
        return self._heads[name]

    def _read(self, name: str) -> Head | str:
        from safetensors import SafetensorError, safe_open

        path = PurePosixPath(name)
        place = self._root / path
        if path.is_absolute() or ".." in path.parts:
            return f"{name} lies outside of the dataset"
        if not place.is_file():
            return f"{name} does not exist"
        if is_lfs_pointer(place):
            return f"{name} is a git-lfs pointer (git lfs pull fetches it)"
        try:
            with safe_open(place, framework="numpy") as file:
                slices = {key: file.get_slice(key) for key in file.keys()}
                return {key: (list(s.get_shape()), _named(s)) for key, s in slices.items()}
        except (SafetensorError, OSError) as error:
            return f"{name} cannot be read: {error}"


def _named(tensor: Any) -> str:
    """The format's name of a tensor's type, or else safetensors' own."""
    dtype = str(tensor.get_dtype())
    return DTYPES.get(dtype, dtype)
