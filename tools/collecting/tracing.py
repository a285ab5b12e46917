"""Records calls of named functions of the program that it runs in, and writes them as a dataset.

    from kernel_harness.tools.collecting.tracing import trace

    with trace("dataset", ["my_model.layers.rms_norm"]):
        serve()

A name is replaced in its module or class; where it was imported from there before, what was
imported stays as it is. What torch compiles and what is captured into a CUDA graph is left alone.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import RequestError
from .dataset_files import WrittenDefinition, write_dataset
from .traced_function import TracedFunction

MOST_BYTES = 256 << 20
"""Of the tensors that are kept of one function, where nothing else is said."""


@contextlib.contextmanager
def trace(
    out: Path | str, targets: Sequence[str], *, most_bytes: int = MOST_BYTES
) -> Iterator[list[WrittenDefinition]]:
    """Records until it is left, by an exception too, and then writes the dataset.

    Args:
        out: the dataset's folder, new or empty.
        targets: dotted names, as "package.module.function".
        most_bytes: of the tensors that are kept of one function.

    Yields:
        What was written; empty until the end.

    Raises:
        RequestError: when a target is not there, or the folder is in use.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(f"{folder} is in use", remedy="Name a folder that does not exist yet.")
    found = [(*_owner_of(target), target) for target in targets]
    recorders: list[TracedFunction] = []
    written: list[WrittenDefinition] = []
    with contextlib.ExitStack() as stack:
        for owner, name, target in found:
            original = getattr(owner, name)
            recorder = TracedFunction(target, original, most_bytes)
            recorders.append(recorder)
            setattr(owner, name, recorder.wrapper())
            stack.callback(setattr, owner, name, original)
        try:
            yield written
        finally:
            stack.close()
            written += write_dataset(recorders, folder)


def _owner_of(target: str) -> tuple[Any, str]:
    """The module that holds a function, and the function's name in it."""
    module, _, name = target.rpartition(".")
    try:
        owner = importlib.import_module(module)
    except (ImportError, ValueError) as error:
        raise RequestError(
            f"{target!r} cannot be recorded: {error}",
            remedy="Name a function as 'package.module.function'.",
        ) from error
    if not callable(getattr(owner, name, None)) or inspect.isclass(getattr(owner, name)):
        raise RequestError(
            f"{target!r} names no function", remedy="Name it as 'package.module.function'."
        )
    return owner, name
