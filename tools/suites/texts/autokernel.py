"""Texts of the Python files of an imported AutoKernel operation, and of a kernel's entry point.

Each stands alone: bench.py and what it imports of its folder are kept in the reference as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .task_values import HELPERS

REFERENCE = '''"""An operation of AutoKernel's bench.py: its own files, and what computes it."""

import contextlib
import importlib.abc
import importlib.util
import linecache
import sys

import torch

_KH_SOURCES = @SOURCES@
_KH_PACKAGES = @PACKAGES@
_KH_OPERATION = @OPERATION@
_KH_DTYPE = @DTYPE@
_KH_TREE = @TREE@


class _KhFiles(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules that bench.py imports of its folder."""

    def find_spec(self, name, path=None, target=None):
        if name not in _KH_SOURCES:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=name in _KH_PACKAGES)

    def exec_module(self, module):
        text, file = _KH_SOURCES[module.__name__], f"<{module.__name__} of the task>"
        linecache.cache[file] = (len(text), None, text.splitlines(True), file)
        module.__file__ = file
        exec(compile(text, file, "exec"), module.__dict__)


_kh_finder, _kh_loaded = _KhFiles(), {}


@contextlib.contextmanager
def _kh_modules():
    """The folder's modules under their own names, for as long as this lasts."""
    hidden = {name: sys.modules.pop(name, None) for name in _KH_SOURCES}
    sys.modules.update(_kh_loaded)
    path = list(sys.path)
    sys.meta_path.insert(0, _kh_finder)
    try:
        yield
    finally:
        sys.meta_path.remove(_kh_finder)
        sys.path[:] = path
        for name, module in hidden.items():
            found = sys.modules.pop(name, None)
            if found is not None:
                _kh_loaded[name] = found
            if module is not None:
                sys.modules[name] = module


def kh_configs():
    """What bench.py says of each operation."""
    with _kh_modules():
        return importlib.import_module("bench").KERNEL_CONFIGS


def kh_inputs(size, device, seed):
    """By name, what the operation's generator makes."""
    make = kh_configs()[_KH_OPERATION]["input_generator"]
    with _kh_modules():
        return dict(make(dict(size), getattr(torch, _KH_DTYPE), str(device), seed=seed))

@HELPERS@

def kh_outputs(inputs):
    """What the operation's reference gives, as a tuple."""
    call = kh_configs()[_KH_OPERATION]["reference_fn"]
    with _kh_modules():
        made = call(dict(inputs))
    return tuple(made) if isinstance(made, tuple | list) else (made,)


def run(@NAMES@):
    inputs = {@PAIRS@}
    return kh_outputs(kh_value(_KH_TREE, inputs))
'''

INPUTS = '''"""Inputs as bench.py makes them, by the workload's size and a seed of the judge's."""

import importlib.util
from pathlib import Path

import torch

FAMILIES = ("typical",)
WHOLE = True

_spec = importlib.util.spec_from_file_location(
    "autokernel_inputs", Path(__file__).with_name("reference.py")
)
_file = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_file)


def generate(axes, *, structure, scalars, generator, device, family="typical"):
    """Calls the operation's generator for the workload's own size, under a seed of the judge's."""
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    device = torch.device(device)
    others = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=others):
        made = _file.kh_inputs(structure["size"], device, seed)
    leaves = {}
    for name, value in made.items():
        leaves.update(_file.kh_tree(value, name)[1])
    return {
        name: value.to(device).contiguous() if isinstance(value, torch.Tensor) else value
        for name, value in leaves.items()
    }
'''

ENTRY = '''"""Calls kernel_fn of kernel_source.py by keywords, as bench.py does."""

from .kernel_source import kernel_fn

TREE = @TREE@

@HELPERS@

def run(@NAMES@):
    inputs = {@PAIRS@}
    made = kernel_fn(**kh_value(TREE, inputs))
    return tuple(made) if isinstance(made, tuple | list) else made
'''
BASELINE = '''"""The operation's reference as a kernel."""

from .task import _KH_TREE, kh_outputs, kh_value


def run(@NAMES@):
    inputs = {@PAIRS@}
    return kh_outputs(kh_value(_KH_TREE, inputs))
'''


def reference_text(
    sources: Mapping[str, str],
    packages: list[str],
    operation: str = "",
    dtype: str = "",
    tree: Any = None,
    names: tuple[str, ...] = (),
) -> str:
    """The reference.py of an operation for one element type.

    Args:
        sources: bench.py and the modules that it imports, by name.
        packages: which of them are packages.
        tree: how the reference's inputs are made of the definition's.
        names: of the definition's inputs, in order.
    """
    fields = {"@OPERATION@": repr(operation), "@DTYPE@": repr(dtype)}
    fields |= {"@PACKAGES@": repr(packages), "@SOURCES@": repr(dict(sources))}
    text = _filled(REFERENCE, tree, names)
    for mark, value in fields.items():
        text = text.replace(mark, value, 1)
    return text


def entry_text(tree: Any, names: tuple[str, ...]) -> str:
    """The entry point that calls a kernel."""
    return _filled(ENTRY, tree, names)


def baseline_text(names: tuple[str, ...]) -> str:
    """The entry point that calls the operation's reference, which lies beside it as task.py."""
    return _filled(BASELINE, None, names)


def _filled(text: str, tree: Any, names: tuple[str, ...]) -> str:
    fields = {
        "@TREE@": repr(tree),
        "@HELPERS@": HELPERS,
        "@NAMES@": ", ".join(names),
        "@PAIRS@": ", ".join(f"{name!r}: {name}" for name in names),
    }
    for mark, value in fields.items():
        text = text.replace(mark, value)
    return text
