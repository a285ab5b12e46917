"""Notes what host code looks at that is not the same on a machine with a GPU.

A fake device answers what is asked of torch and Triton. Files of the driver, other programs,
addresses and compiled code answer for this machine, and host code may go another way for it. So
each is told with the calls, and the judge does not believe that a GPU would run the same.

It sees Python's audit events, questions for files, and the functions of torch that have no answer
here. Code that wants to stay unseen can.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

import torch

from . import kernel_libraries

MOST_SIGNS = 12
NAME_CHARACTERS = 80
_OF_A_DEVICE = re.compile(
    r"^/dev/?$|^/dev/(nvidia|dri\b|dxg)|^/proc/driver\b|^/proc/(devices|modules|bus/pci)\b"
    r"|^/proc/(self|thread-self|\d+)/(maps|smaps|mem|pagemap|map_files|numa_maps)\b"
    r"|^/sys/(module|bus/pci|class/drm)\b|nvidia-smi|libcuda\.so|libnvidia-|nvidia-persistenced"
)
_QUIET = frozenset({"empty_cache", "init", "manual_seed", "manual_seed_all", "seed", "seed_all"})
"""Functions of `torch.cuda` that show nothing."""
_signs: dict[str, None] = {}
_unnoted = 0
"""Above 0 while what is done is ours."""


def noted() -> list[str]:
    """What was looked at, each in words that follow 'host code'."""
    return list(_signs)


def note(words: str) -> None:
    """Adds a sign, in words that follow 'host code'; only the first few are kept."""
    if len(_signs) < MOST_SIGNS and not _unnoted:
        _signs[words] = None


@contextlib.contextmanager
def unnoted() -> Iterator[None]:
    """What is done within it adds no sign."""
    global _unnoted
    _unnoted += 1
    try:
        yield
    finally:
        _unnoted -= 1


def note_address() -> None:
    """Adds that a tensor's address was asked for, unless torch, Triton or we did."""
    if asked_by_host_code():
        note("takes the address of a tensor")


def watch() -> None:
    """Notes from now on what host code looks at, for good; a library of kernels is not loaded."""
    sys.addaudithook(_audited)
    kernel_libraries.watch(refuse=True)
    for name in ("access", "lstat", "stat"):
        _watch_question(name)
    _watch_torch()


def _audited(event: str, arguments: tuple[Any, ...]) -> None:
    words = _WORDS.get(event)
    if words is None:
        return
    try:
        said = words(arguments)
    except Exception:  # whatever a candidate gives that is no path
        return
    if said:
        note(said)


def _looked_at(path: Any) -> str:
    name = _name(path)
    return f"looks at {name!r}" if _OF_A_DEVICE.search(name) else ""


def _started(program: Any) -> str:
    words = program if isinstance(program, (str, bytes, os.PathLike)) else next(iter(program), "")
    return f"starts {_name(words).split(' ')[0]!r}"


def _loaded(path: Any) -> str:
    """Of an extension module: those that are installed are libraries, others a candidate's own."""
    if path is None or kernel_libraries.is_installed(path):
        return ""
    return f"loads compiled code of its own, {os.path.basename(_name(path))!r}"


_WORDS: dict[str, Callable[[Sequence[Any]], str]] = {
    "open": lambda given: _looked_at(given[0]),
    "os.listdir": lambda given: _looked_at(given[0]),
    "os.scandir": lambda given: _looked_at(given[0]),
    "os.exec": lambda given: _started(given[0]),
    "os.posix_spawn": lambda given: _started(given[0]),
    "os.system": lambda given: _started(given[0]),
    "subprocess.Popen": lambda given: _started(given[0] or given[1]),
    "ctypes.dlopen": lambda given: f"calls {_name(given[0] or 'this process')!r} by ctypes",
    "ctypes.cdata": lambda given: "reads memory by its address",
    "ctypes.string_at": lambda given: "reads memory by its address",
    "ctypes.wstring_at": lambda given: "reads memory by its address",
    "ctypes.memoryview_at": lambda given: "reads memory by its address",
    "import": lambda given: _loaded(given[1]),
}
"""By audit event, what its arguments tell; empty where they tell nothing."""


def _name(path: Any) -> str:
    name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
    return name[-NAME_CHARACTERS:]


def _watch_question(name: str) -> None:
    """Has a function of `os` that asks for a file, which Python does not audit, note it."""
    ask: Any = getattr(os, name)

    @functools.wraps(ask)
    def asked(path: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(path, int) and (said := _looked_at(path)):
            note(said)
        return ask(path, *arguments, **options)

    setattr(os, name, asked)
    for able in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd):
        if ask in able:
            able.add(asked)
    if ask in os.supports_follow_symlinks:
        os.supports_follow_symlinks.add(asked)


def _watch_torch() -> None:
    """Has functions of `torch.cuda` that the fake device does not answer note that they do not."""
    for name, function in list(vars(torch.cuda).items()):
        answered = not str(getattr(function, "__module__", "")).startswith("torch.cuda")
        quiet = answered or name in _QUIET or name.startswith("_")
        if quiet or type(function) is not FunctionType:
            continue
        setattr(torch.cuda, name, _noting(f"asks torch.cuda.{name}", function))


def _noting(words: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def noting(*arguments: Any, **options: Any) -> Any:
        if asked_by_host_code():
            note(words)
        return function(*arguments, **options)

    return noting


def asked_by_host_code() -> bool:
    """Whether the innermost caller is neither ours, nor torch's or Triton's."""
    frame = inspect.currentframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith(_BETWEEN):
            return module.split(".")[0] not in (_OURS, "torch", "triton")
        frame = frame.f_back
    return False


_OURS = __name__.split(".")[0]
_BETWEEN = (__name__.rpartition(".")[0], "contextlib", "functools", "torch.overrides")
"""Modules whose frames lie between whoever asks and the answer."""
