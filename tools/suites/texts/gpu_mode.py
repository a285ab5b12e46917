"""Texts of the Python files of an imported gpu-mode task, and of the entry point of a submission.

Each stands alone. The task's own files are kept in them as they are, but that the word "cuda" as a
whole string becomes the device at hand: so a task can be looked at and judged without a GPU.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Mapping
from typing import Any

from .task_values import HELPERS

REFERENCE = '''"""A task of gpu-mode: its own files, and the function that computes outputs."""

import importlib.abc
import importlib.util
import linecache
import sys

import torch

_KH_SOURCES = @SOURCES@
_KH_TREE = @TREE@
_KH_FRESH = @FRESH@


class _KhFiles(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the task's own modules, under the names that they import one another by."""

    def find_spec(self, name, path=None, target=None):
        if name not in _KH_SOURCES:
            return None
        return importlib.util.spec_from_loader(name, self)

    def exec_module(self, module):
        text, file = _KH_SOURCES[module.__name__], f"<{module.__name__}.py of the task>"
        linecache.cache[file] = (len(text), None, text.splitlines(True), file)
        module.KH_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
        exec(compile(text, file, "exec"), module.__dict__)


def _kh_task():
    """The task's module `reference`; none of its names stays among the modules."""
    finder, hidden = _KhFiles(), {}
    for name in _KH_SOURCES:
        hidden[name] = sys.modules.pop(name, None)
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module("reference")
    finally:
        sys.meta_path.remove(finder)
        for name, module in hidden.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module

@HELPERS@

_kh_loaded = []


def kh_task():
    """The task's module, loaded once."""
    if not _kh_loaded:
        _kh_loaded.append(_kh_task())
    return _kh_loaded[0]


def kh_data(inputs):
    """The task's data of the definition's inputs, by name, with fresh buffers where it has such."""
    device = next((v.device for v in inputs.values() if isinstance(v, torch.Tensor)), "cpu")
    leaves = dict(inputs)
    for name, (like, dtype) in _KH_FRESH.items():
        leaves[name] = torch.empty(_kh_sizes(like, inputs), dtype=dtype, device=device)
    return kh_value(_KH_TREE, leaves)


def _kh_sizes(like, inputs):
    return [
        number + sum(sign * inputs[name].shape[axis] for sign, name, axis in terms)
        for number, terms in like
    ]


def kh_outputs(result):
    """What a call gave, as a tuple of tensors."""
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def run(@NAMES@):
    inputs = {@PAIRS@}
    return kh_outputs(kh_task().ref_kernel(kh_data(inputs)))
'''

INPUTS = '''"""Inputs as the task makes them, by the workload's case and a seed of the judge's."""

import importlib.util
import inspect
from pathlib import Path

import torch

FAMILIES = ("typical",)
WHOLE = True

_spec = importlib.util.spec_from_file_location(
    "gpu_mode_inputs", Path(__file__).with_name("reference.py")
)
_file = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_file)


def generate(axes, *, structure, scalars, generator, device, family="typical"):
    """Calls generate_input for the workload's own case, under a seed from the generator."""
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    case = dict(structure["case"])
    make = _file.kh_task().generate_input
    if "seed" in inspect.signature(make).parameters:
        case["seed"] = seed
    device = torch.device(device)
    others = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=others):
        torch.manual_seed(seed)
        made = make(**case)
    _, leaves = _file.kh_tree(made, "data")
    return {
        name: value.to(device).contiguous() if isinstance(value, torch.Tensor) else value
        for name, value in leaves.items()
    }
'''

COMPARE = '''"""The task's own check, on all outputs of a call."""

import importlib.util
from pathlib import Path

import torch

_spec = importlib.util.spec_from_file_location(
    "gpu_mode_check", Path(__file__).with_name("reference.py")
)
_file = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_file)
SINGLE = @SINGLE@


def compare_all(inputs, expected, got, limits):
    """What check_implementation says of the outputs, in either of its forms."""
    copies = {n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in inputs.items()}
    outputs = tuple(value.clone() for value in got.values())
    said = _file.kh_task().check_implementation(
        _file.kh_data(copies), outputs[0] if SINGLE else outputs
    )
    if isinstance(said, tuple):
        right, words = bool(said[0]), str(said[1])
    else:
        right, words = (not said, said) if isinstance(said, str) else (bool(said), "")
    return {"ok": right, "message": f"The task's own check says: {words or 'it is wrong'}."}
'''

ENTRY = '''"""Calls custom_kernel of submission.py with the task's data."""

import sys

import torch

@IMPORTS@
from .submission import custom_kernel

TREE = @TREE@
FRESH = @FRESH@

@HELPERS@

def run(@NAMES@):
    inputs = {@PAIRS@}
    device = next((v.device for v in inputs.values() if isinstance(v, torch.Tensor)), "cpu")
    leaves = dict(inputs)
    for name, (like, dtype) in FRESH.items():
        sizes = [
            number + sum(sign * inputs[of].shape[axis] for sign, of, axis in terms)
            for number, terms in like
        ]
        leaves[name] = torch.empty(sizes, dtype=dtype, device=device)
    result = custom_kernel(kh_value(TREE, leaves))
    return tuple(result) if isinstance(result, tuple | list) else result
'''
REFERENCE_SUBMISSION = '''"""The task's reference as a submission."""

from reference import ref_kernel as custom_kernel  # noqa: F401
'''


def on_any_device(source: str) -> str:
    """The source with the device at hand where it names "cuda" alone."""
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    rows = source.splitlines(keepends=True)
    for token in reversed(tokens):
        if token.type == tokenize.STRING and token.string in ("'cuda'", '"cuda"'):
            (row, begin), (_, end) = token.start, token.end
            line = rows[row - 1]
            rows[row - 1] = f"{line[:begin]}KH_DEVICE{line[end:]}"
    return "".join(rows)


def reference_text(
    sources: Mapping[str, str], tree: Any, fresh: Mapping[str, Any], names: list[str]
) -> str:
    """The reference.py of a task.

    Args:
        sources: the task's own files, by module.
        tree: how its data is made of the inputs.
        fresh: buffers among its data, by name: the sizes, and the dtype as `torch` spells it.
        names: of the inputs, in order.
    """
    local = {name: on_any_device(text) for name, text in sources.items()}
    return _filled(REFERENCE, tree, fresh, names).replace("@SOURCES@", repr(local))


def compare_text(*, single: bool) -> str:
    """The compare.py of a task; `single` where its output is one tensor and no tuple."""
    return COMPARE.replace("@SINGLE@", repr(single))


def entry_text(tree: Any, fresh: Mapping[str, Any], names: list[str], modules: list[str]) -> str:
    """The entry point of a submission; it finds `modules` of the task by their own names."""
    lines = []
    for name in modules:
        lines += [f"from . import {name} as _{name}", f'sys.modules["{name}"] = _{name}']
    text = _filled(ENTRY, tree, fresh, names)
    return text.replace("@IMPORTS@", "\n".join(lines))


def _filled(text: str, tree: Any, fresh: Mapping[str, Any], names: list[str]) -> str:
    buffers = ", ".join(
        f"{name!r}: ({sizes!r}, torch.{dtype})" for name, (sizes, dtype) in fresh.items()
    )
    fields = {
        "@TREE@": repr(tree),
        "@FRESH@": f"{{{buffers}}}",
        "@NAMES@": ", ".join(names),
        "@PAIRS@": ", ".join(f"{name!r}: {name}" for name in names),
        "@HELPERS@": HELPERS,
    }
    for mark, value in fields.items():
        text = text.replace(mark, value)
    return text
