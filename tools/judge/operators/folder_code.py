"""The code in an operator's folder: loaded anew, and its `generate` called."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ...workloads.operators import load_anew
from ..philox.generator import PhiloxGenerator, TorchGenerator


def stamp(folder: Path | None) -> str:
    """A text that changes whenever a file of the folder does."""
    files = sorted(folder.glob("*.*")) if folder else []
    return ",".join(f"{f.name}:{f.stat().st_mtime_ns}" for f in files)


def loaded(folder: Path | None, file: str) -> ModuleType | None:
    """A module of the folder; None where there is none of that name."""
    path = folder / file if folder else None
    return load_anew(path) if path is not None and path.is_file() else None


def asks_philox(inputs: ModuleType) -> bool:
    """Whether an inputs.py draws by Philox: its `generate` has an argument of that name."""
    generate = getattr(inputs, "generate", None)
    return callable(generate) and "philox" in inspect.signature(generate).parameters


def own_inputs(
    inputs: ModuleType,
    axes: Mapping[str, int],
    structure: Mapping[str, Any] | None,
    scalars: Mapping[str, Any],
    seed: int,
    family: str,
    values: PhiloxGenerator | TorchGenerator,
) -> Any:
    """What the operator's own code makes of a seed.

    It always gets a torch generator, and Philox beside it where it asks for it.
    """
    given = asks_philox(inputs) and isinstance(values, PhiloxGenerator)
    return inputs.generate(
        dict(axes),
        structure=structure,
        scalars=dict(scalars),
        generator=torch.Generator(device=values.device).manual_seed(seed),
        device=values.device,
        family=family,
        **({"philox": values} if given else {}),
    )
