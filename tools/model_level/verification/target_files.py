"""What an operator stands for in a program, in a file of the operator's folder."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ...errors import DatasetError
from .verified_runs import KernelTarget

TARGET_FILE = "target.json"


def read_target(folder: Path) -> KernelTarget:
    """What an operator's folder says that it stands for in a program.

    Raises:
        DatasetError: when it says nothing.
    """
    place = folder / TARGET_FILE
    try:
        return TypeAdapter(KernelTarget).validate_json(place.read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(
            f"It is not said what this operator stands for: {error}",
            where=str(place),
            remedy="extract-operator writes it; or name the function with --target.",
        ) from error


def target_named(said: str) -> KernelTarget:
    """The target that "package.module.function" or, with its kernel, "…=definition" names."""
    target, _, definition = said.partition("=")
    return KernelTarget(target, definition or None)


def write_target(target: KernelTarget, folder: Path) -> None:
    """Writes what an operator stands for into its folder."""
    said = json.loads(TypeAdapter(KernelTarget).dump_json(target))
    (folder / TARGET_FILE).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
