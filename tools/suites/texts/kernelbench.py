"""The Python files of an imported KernelBench operator, and the one that calls a candidate.

Each stands alone: what runs in the judge or as a candidate knows nothing of this package. Weights
are those that KernelBench's own seed gives, in the reference as in a candidate.
"""

from __future__ import annotations

from collections.abc import Sequence

SEED = 42
REFERENCE_TAIL = """

# Added by the import: Model as KernelBench builds it, once for each device, in train mode.
import copy as _kh_copy

import torch as _kh_torch

_kh_built = {}


def _kh_model(device):
    if device not in _kh_built:
        with _kh_torch.random.fork_rng(devices=[]):
            _kh_torch.manual_seed(@SEED@)
            init = get_init_inputs()
            _kh_torch.manual_seed(@SEED@)
            _kh_built[device] = Model(*init).to(device)
    return _kh_built[device]


def run(*inputs):
    device = next((v.device for v in inputs if isinstance(v, _kh_torch.Tensor)), "cpu")
    return @CALLED@
"""
CALLED = "_kh_model(str(device))(*inputs)"
COPIED = "_kh_copy.deepcopy(_kh_model(str(device)))(*inputs)"
"""For a model that keeps state: every call begins with what it was built with."""

INPUTS = '''"""Inputs as the task makes them: get_inputs() under the draw's seed."""

import importlib.util
from pathlib import Path

import torch

FAMILIES = ("typical",)
NAMES = @NAMES@

_spec = importlib.util.spec_from_file_location(
    "kernelbench_inputs", Path(__file__).with_name("reference.py")
)
_task = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_task)


def generate(axes, *, structure, scalars, generator, device, family="typical"):
    """Draws a seed from the generator, and calls get_inputs() under it, on the device."""
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    device = torch.device(device)
    others = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=others), device:
        torch.manual_seed(seed)
        made = _task.get_inputs()
    return {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in zip(NAMES, made, strict=True)
    }
'''

WRAPPER = '''"""Calls @CLASS@ of @MODULE@.py, built once for each device, under its seed."""

import copy

import torch

from .@MODULE@ import @CLASS@ as _Model

INIT = (@INIT@)
KEEPS_STATE = @KEEPS_STATE@
_built = {}


def run(*inputs):
    device = next((str(v.device) for v in inputs if isinstance(v, torch.Tensor)), "cpu")
    with torch.no_grad():
        if device not in _built:
            torch.manual_seed(@SEED@)
            _built[device] = _Model(*INIT).to(device)
        model = copy.deepcopy(_built[device]) if KEEPS_STATE else _built[device]
        return model(*inputs)
'''


def reference_text(task: str, *, keeps_state: bool) -> str:
    """A task's file with the function `run`, which computes what its Model does."""
    tail = REFERENCE_TAIL.replace("@SEED@", str(SEED))
    return task.rstrip() + "\n" + tail.replace("@CALLED@", COPIED if keeps_state else CALLED)


def inputs_text(names: Sequence[str]) -> str:
    """The inputs.py of a task whose inputs have these names."""
    return INPUTS.replace("@NAMES@", repr(tuple(names)))


def wrapper_text(module: str, class_name: str, init: Sequence[str], *, keeps_state: bool) -> str:
    """The entry point that builds and calls a module's class.

    Args:
        init: the construction's arguments, as Python spells them.
    """
    arguments = "".join(f"{value}, " for value in init).rstrip(" ")
    fields = {
        "@CLASS@": class_name,
        "@MODULE@": module,
        "@INIT@": arguments,
        "@KEEPS_STATE@": str(keeps_state),
        "@SEED@": str(SEED),
    }
    text = WRAPPER
    for mark, value in fields.items():
        text = text.replace(mark, value)
    return text
