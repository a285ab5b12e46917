"""Tensors of workloads that lie in safetensors files, and the checks that all inputs pass.

A file that is missing or holds something else is the dataset's fault and concerns one workload. The
header of a file says so before anything is run; a pointer of git-lfs counts as a missing file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import DatasetError
from ...schema.flashinfer_trace import Definition, SafetensorsInput
from .generic_operator import torch_dtype

DTYPES = {
    "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "BOOL": "bool", "F64": "float64", "U8": "uint8",
    "F4": "float4_e2m1fn_x2",
}  # fmt: skip
"""Names of dtypes in the header of a safetensors file, as a definition names them."""
LFS_POINTER = b"version https://git-lfs"


def fetched(path: Path) -> bool:
    """Whether the file is there and is no pointer of git-lfs."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return not file.read(len(LFS_POINTER)).startswith(LFS_POINTER)


def stored_files(
    definition: Definition,
    axes: Mapping[str, int],
    files: Mapping[str, SafetensorsInput],
    root: Path | None,
    *,
    others_are_made: bool,
) -> dict[str, Path]:
    """The file of each stored input, checked.

    Args:
        files: by name of the input.
        root: folder that their paths are relative to.
        others_are_made: whether an inputs.py stands in for those that were not fetched.

    Raises:
        DatasetError: when one cannot be used.
    """
    shapes = definition.input_shapes(axes)
    found: dict[str, Path] = {}
    for name, spec in files.items():
        path = (root or Path()) / spec.path
        if others_are_made and not fetched(path):
            continue
        check_stored(name, spec, path, shapes[name], definition.inputs[name].dtype)
        found[name] = path
    return found


def check_stored(
    name: str, spec: SafetensorsInput, path: Path, shape: tuple[int, ...] | None, dtype: str
) -> None:
    """Compares the header of an input's file with what the definition declares.

    Args:
        shape: declared for the workload's axes; None for a scalar.

    Raises:
        DatasetError: when the file is missing, cannot be read, or holds another tensor.
    """
    from safetensors import SafetensorError, safe_open

    remedy = "Fetch the dataset's files anew; git lfs pull fetches those that are pointers."
    if not fetched(path):
        raise DatasetError(
            f"Input {name!r} is stored in a file that is not there, or only as a git-lfs pointer",
            where=str(path),
            remedy=f"{remedy} Or give the operator an inputs.py, which makes them.",
        )
    try:
        with safe_open(str(path), framework="pt") as blob:
            piece = blob.get_slice(spec.tensor_key)
            got, kind = tuple(piece.get_shape()), str(piece.get_dtype())
            if kind == "F4" and got:  # the file counts numbers, torch and definitions pairs
                got = (*got[:-1], got[-1] // 2)
    except (SafetensorError, OSError) as error:
        raise DatasetError(
            f"Input {name!r} cannot be read from its file: {error}", where=str(path), remedy=remedy
        ) from error
    due = shape if shape is not None else got if got in ((), (1,)) else ()
    if got != due or DTYPES.get(kind) != dtype:
        raise DatasetError(
            f"Input {name!r} is stored as {list(got)} {DTYPES.get(kind, kind)}; the definition "
            f"declares {list(due)} {dtype}",
            where=f"{path}, tensor {spec.tensor_key!r}",
            remedy="Store the tensor as declared, or correct the workload's axes.",
        )


def read_stored(spec: SafetensorsInput, path: Path, device: torch.device) -> torch.Tensor:
    """The tensor of a file that `check_stored` found to be as declared."""
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as blob:
        return blob.get_tensor(spec.tensor_key).to(device)


def check_made(name: str, value: torch.Tensor, shape: tuple[int, ...], dtype: str) -> None:
    """Compares a tensor that inputs.py made with what the definition declares.

    Raises:
        DatasetError: when shape or dtype differ.
    """
    if tuple(value.shape) == shape and value.dtype == torch_dtype(dtype):
        return
    raise DatasetError(
        f"Input {name!r} was made as {list(value.shape)} {value.dtype}; the definition "
        f"declares {list(shape)} {torch_dtype(dtype)}",
        where="inputs.py, generate()",
        remedy="Correct generate() of the operator's inputs.py, or the definition.",
    )


def check_contents(
    definition: Definition,
    waived: Collection[str],
    axes: Mapping[str, int],
    inputs: Mapping[str, Any],
    *,
    shown: bool,
) -> None:
    """Evaluates the constraints that name an input, on the inputs of one call.

    Args:
        shown: whether the axes may be told.

    Raises:
        DatasetError: when one does not hold that is not among `waived`.
    """
    named = set(definition.constraints_on_inputs).difference(waived)
    if not named:
        return
    violated = named.intersection(definition.violated_constraints(axes, inputs))
    if violated:
        sizes = ", ".join(f"{name} = {size}" for name, size in axes.items())
        raise DatasetError(
            f"Inputs violate the constraint {min(violated)!r} of their definition"
            + (f" ({sizes})" if shown else ", for a held-out size"),
            where=definition.name,
            remedy="Correct generate() of inputs.py, the stored tensors or the constraint; "
            "without an inputs.py, values are random and meet no constraint on contents.",
        )
