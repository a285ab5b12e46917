"""Texts of the Python files of an imported robust-kbench task, and of a kernel's entry point.

Each stands alone. What the task's Model hands to its function are the inputs; the word "cuda" as a
whole string becomes the device at hand, and where the task asks whether a tensor is on one it is.
"""

from __future__ import annotations

import re
from typing import Any

from .gpu_mode import on_any_device
from .task_values import HELPERS

HEAD = """import torch as _kh_torch

KH_DEVICE = "cuda" if _kh_torch.cuda.is_available() else "cpu"


"""
TAIL = '''

# Added by the import: the function on the definition's inputs, and what Model hands to it.
import inspect as _kh_inspect

_KH_TREE = @TREE@

@HELPERS@

class _KhHanded(Exception):
    pass


def _kh_accepted(function, given):
    taken = _kh_inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in taken):
        return given
    return {p.name: given[p.name] for p in taken if p.name in given}


def kh_handed(init, given, seed_of_inputs=None):
    """By the names of the function's arguments, what Model hands to it under the current seed."""
    names = list(_kh_inspect.signature(forward_fn).parameters)
    found = []

    def fn(*values):
        found.extend(values)
        raise _KhHanded

    model = Model(**_kh_accepted(Model.__init__, init)).to(KH_DEVICE)
    if seed_of_inputs is not None:
        _kh_torch.manual_seed(seed_of_inputs)
    values = get_inputs(**_kh_accepted(get_inputs, given))
    values = [v.to(KH_DEVICE) if isinstance(v, _kh_torch.Tensor) else v for v in values]
    try:
        with _kh_torch.no_grad():
            model(*values, fn=fn)
    except _KhHanded:
        pass
    names += [f"more{i}" for i in range(len(found))]
    detached = [v.detach() if isinstance(v, _kh_torch.Tensor) else v for v in found]
    return dict(zip(names, detached))


kh_function = forward_fn


def run(@NAMES@):
    inputs = {@PAIRS@}
    made = forward_fn(*kh_value(_KH_TREE, inputs))
    return tuple(made) if isinstance(made, tuple | list) else made
'''

INPUTS = '''"""What the task's Model hands to its function, under a seed of the judge's."""

import importlib.util
from pathlib import Path

import torch

FAMILIES = ("typical",)
WHOLE = True

_spec = importlib.util.spec_from_file_location(
    "robust_kbench_inputs", Path(__file__).with_name("reference.py")
)
_task = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_task)


def generate(axes, *, structure, scalars, generator, device, family="typical"):
    """Builds the model and its inputs by the workload's configuration, and takes them apart."""
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    device = torch.device(device)
    others = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=others):
        torch.manual_seed(seed)
        handed = _task.kh_handed(structure["init"], structure["input"])
    made = {}
    for name, value in handed.items():
        made.update(_task.kh_tree(value, name)[1])
    return {
        name: value.to(device).contiguous() if isinstance(value, torch.Tensor) else value
        for name, value in made.items()
    }
'''

ENTRY = '''"""Calls @FUNCTION@ of @MODULE@.py as the task's Model does."""

from .@MODULE@ import @FUNCTION@ as _function

TREE = @TREE@

@HELPERS@

def run(@NAMES@):
    inputs = {@PAIRS@}
    made = _function(*kh_value(TREE, inputs))
    return tuple(made) if isinstance(made, tuple | list) else made
'''


def reference_text(source: str, tree: Any, names: list[str]) -> str:
    """The reference.py of a task whose function is called by a tree of its inputs."""
    local = re.sub(r"\b[\w.]+\.is_cuda\b", "True", on_any_device(source))
    return HEAD + local.rstrip() + "\n" + filled(TAIL, tree, names)


def entry_text(module: str, function: str, tree: Any, names: list[str]) -> str:
    """The entry point that calls a kernel in Python as the task's function is called."""
    text = filled(ENTRY, tree, names)
    return text.replace("@MODULE@", module).replace("@FUNCTION@", function)


def filled(text: str, tree: Any, names: list[str]) -> str:
    """A text with a task's tree, the names of its inputs, and what makes values of them."""
    fields = {
        "@TREE@": repr(tree),
        "@HELPERS@": HELPERS,
        "@NAMES@": ", ".join(names),
        "@PAIRS@": ", ".join(f"{name!r}: {name}" for name in names),
    }
    for mark, value in fields.items():
        text = text.replace(mark, value)
    return text
