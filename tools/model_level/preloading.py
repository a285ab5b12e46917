"""What a program imports of installed packages, imported once for several runs of it.

A library may take seconds to import, the same in every run. Processes that are forked after that
begin as a program does, if nothing was begun by it that a fork does not carry over.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
import sys
import sysconfig
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch

from ..applying.replaced_attribute import attribute_owner
from ..driver.library import CudaDriver, DriverError
from ..errors import CapabilityError

LEFT = ("torch", "triton", "kernel_harness")
"""Are there already, or start workers of their own."""
NOT_INITIALIZED = 3
"""Of CUresult."""
OURS = ("CUDA_MODULE_LOADING", "PYTORCH", "TORCH", "TRITON")
"""How variables begin that torch sets for itself, or that were read before any program ran."""
INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib"))


def functions_of_modules(names: Sequence[str]) -> list[str]:
    """Those of some dotted names that are functions of modules, and no methods of classes.

    A module may take a function of another, and keep the original where that is replaced later; a
    method is found by its class.
    """
    return [name for name in names if not isinstance(attribute_owner(name)[0], type)]


def imported_since(known: Collection[str], functions: Sequence[str]) -> list[str]:
    """Names of modules of installed packages that were imported since, in order.

    Args:
        known: that were there before.
        functions: of modules, to be replaced; the packages that hold them are left out.
    """
    left = {*LEFT, *(name.partition(".")[0] for name in functions)}
    return [
        name
        for name, module in list(sys.modules.items())
        if name not in known
        and name.partition(".")[0] not in left
        and _is_installed(getattr(module, "__file__", None))
    ]


def variables_now() -> dict[str, str]:
    """The environment that a program sees here, but for what torch sets and reads itself."""
    seen = os.environ.items()  # noqa: TID251 - the program's own environment
    return {name: value for name, value in seen if not name.startswith(OURS)}


def changed_variables(before: Mapping[str, str]) -> dict[str, str | None]:
    """Variables of the environment that are others now, None where one is gone."""
    now = variables_now()
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return {name: now.get(name) for name in changed}


def preload(
    names: Sequence[str], functions: Sequence[str], variables: Mapping[str, str | None]
) -> str | None:
    """Imports modules; says why this process may not be forked for runs of a program, or nothing.

    It may not once a thread was started, a file was opened or a device is used, nor where the
    package of a function that is to be replaced came with the modules, or they may have read what
    the program sets before it imports them.

    Args:
        names: of modules.
        functions: of modules, to be replaced.
        variables: of the environment that were others when a run of the program had ended.
    """
    _end_idle_threads()
    files, threads, environment = _open_files(), _threads(), variables_now()
    held = {name.partition(".")[0] for name in functions}
    there = held & sys.modules.keys()
    known, came_with = files | threads, dict[str, str]()
    available, torch.cuda.is_available = torch.cuda.is_available, _has_devices
    name = ""
    try:
        for name in names:
            with contextlib.suppress(Exception):  # a run of the program meets it, too, and says so
                importlib.import_module(name)
            now = _open_files() | _threads()
            came_with |= dict.fromkeys(now - known, name)
            known |= now
    except SystemExit:
        return f"{name} ends its process"
    finally:
        torch.cuda.is_available = available
    _end_idle_threads()
    for left, does in (
        (_open_files() - files, "opens files"),
        (_threads() - threads, "starts threads"),
    ):
        if left:
            return f"{came_with.get(min(left), 'one of them')} {does}"
    if _uses_driver():
        return "they use the GPU"
    if held & sys.modules.keys() != there:
        return "a function is replaced that they may hold"
    if changed_variables(environment) != variables:
        return "the program sets variables of the environment"
    return None


def _has_devices() -> bool:
    """What torch says of its own, but by counting devices: the other way begins to use one."""
    return torch.cuda.device_count() > 0


def _uses_driver() -> bool:
    """Whether CUDA's driver was begun in this process, which makes it useless in forked ones."""
    try:
        CudaDriver().call("cuDeviceGetCount", ctypes.byref(ctypes.c_int()))
    except CapabilityError:
        return False
    except DriverError as error:
        return error.code != NOT_INITIALIZED
    return True


def _open_files() -> set[str]:
    """What is open in this process; forked ones share its positions with one another."""
    places = Path("/proc/self/fd")
    found = {f"file {place.name}": place for place in places.iterdir()} if places.is_dir() else {}
    return {name for name, place in found.items() if place.is_symlink()}


def _threads() -> set[str]:
    """Threads of this process, those that libraries start among them."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return {f"thread {one.native_id}" for one in threading.enumerate()}
    return {f"thread {task.name}" for task in tasks.iterdir()}


def _end_idle_threads() -> None:
    """Ends threads of libraries of linear algebra, as a fork does; they start others later."""
    if (process := os.fork()) == 0:
        os._exit(0)
    os.waitpid(process, 0)


def _is_installed(file: str | None) -> bool:
    return file is not None and _is_installed_folder(str(Path(file).parent))


@functools.cache
def _is_installed_folder(folder: str) -> bool:
    return any(Path(folder).resolve().is_relative_to(place) for place in INSTALLED)
