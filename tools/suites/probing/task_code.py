"""Loads the code of a task in the process that looks at it, and says why that failed."""

from __future__ import annotations

import importlib.util
import os
import resource
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

Facts = dict[str, Any]


class NotImportableError(Exception):
    """A task has no form that an operator can have; the words say why."""


def functions_of(*texts: str) -> dict[str, Any]:
    """What code for files that stand alone defines, to be called here as it is there."""
    defined: dict[str, Any] = {"torch": torch}
    for text in texts:
        exec(text, defined)
    return defined


def load_task(file: Path, names: Sequence[str]) -> ModuleType:
    """The module of a task's file.

    Raises:
        NotImportableError: when it lacks one of the names.
    """
    spec = importlib.util.spec_from_file_location("suite_task", file)
    assert spec is not None and spec.loader is not None
    task = importlib.util.module_from_spec(spec)
    sys.modules["suite_task"] = task
    spec.loader.exec_module(task)
    require_names(task, names)
    return task


def require_names(task: ModuleType, names: Sequence[str]) -> None:
    """Checks that a task's module has what its form asks for.

    Raises:
        NotImportableError: when it lacks one of the names.
    """
    if lacking := [name for name in names if not hasattr(task, name)]:
        raise NotImportableError(f"it has no {', '.join(lacking)}")


def bound_memory() -> None:
    """Bounds this process's memory by half of the machine's."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def reason_of(error: BaseException, file: str) -> str:
    """Why a task cannot be imported, in words; the line is that of the task's file."""
    if isinstance(error, NotImportableError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    at = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{at}"
