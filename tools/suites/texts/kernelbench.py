"""The Python files of an imported KernelBench operator, and the one that calls a candidate.

Each stands alone: what runs in the judge or as a candidate knows nothing of this package. Weights
are those that KernelBench's own seed gives, in the reference as in a candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .host_device import HERE, names_a_gpu
from .task_values import HELPERS

SEED = 42
REFERENCE_TAIL = """

# Added by the import: Model as KernelBench builds it, once for each device, in train mode. Where
# the task's inputs are in half precision and the judge gives them in float32, it is computed there.
import copy as _kh_copy

import torch as _kh_torch

_kh_built = {}
_KH_HALVES = @HALVES@


def _kh_model(device, wide):
    if (device, wide) not in _kh_built:
        with _kh_torch.random.fork_rng(devices=[]):
            _kh_torch.manual_seed(@SEED@)
            init = get_init_inputs()
            _kh_torch.manual_seed(@SEED@)
            model = Model(*init).to(device)
        _kh_built[device, wide] = model.float() if wide else model
    return _kh_built[device, wide]


def run(*inputs):
    device = next((v.device for v in inputs if isinstance(v, _kh_torch.Tensor)), "cpu")
    wide = any(inputs[i].dtype == _kh_torch.float32 for i in _KH_HALVES)
    return @CALLED@
"""
HERE_TAIL = """

# Added by the import: without a GPU, what the task asks for on one is made here.
import torch
@HERE@

_kh_on_a_gpu = run


def run(*inputs):
    device = next((v.device for v in inputs if isinstance(v, _kh_torch.Tensor)), "cpu")
    if str(device).startswith("cuda"):
        return _kh_on_a_gpu(*inputs)
    with KhHere(device):
        return _kh_on_a_gpu(*inputs)
"""
MODEL = "_kh_model(str(device), wide)"
COPIED = f"_kh_copy.deepcopy({MODEL})"
"""For a model that keeps state: every call begins with what it was built with."""
VALUES = '''

def kh_values(inputs):
    """What forward takes, of the inputs."""
    leaves = dict(zip(KH_NAMES, inputs, strict=True))
    return [kh_value(tree, leaves) for tree in KH_ARGUMENTS]
'''
FLAT = '''

def kh_flat(value):
    """The tensors in an output of tuples, lists and tables, in order; those of tables by key."""
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value, key=str)]
    if isinstance(value, tuple | list):
        return tuple(tensor for part in value for tensor in kh_flat(part))
    return () if value is None else (value,)
'''

INPUTS = '''"""Inputs as the task makes them: get_inputs() under the draw's seed."""

import contextlib
import importlib.util
import random
import sys
from pathlib import Path

import numpy
import torch

FAMILIES = ("typical",)
NAMES = @NAMES@

_spec = importlib.util.spec_from_file_location(
    "kernelbench_inputs", Path(__file__).with_name("reference.py")
)
_task = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_task)
SEEDED = ((torch, "manual_seed"), (torch.random, "manual_seed"), (random, "seed"))
SEEDED += ((numpy.random, "seed"),)
@HELPERS@

@contextlib.contextmanager
def seeded(seed):
    """Draws follow the seed, those of Python and NumPy too; seeds of the task's own do nothing."""
    before, numpys = random.getstate(), numpy.random.get_state()
    own = [getattr(owner, name) for owner, name in SEEDED]
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed)
    for owner, name in SEEDED:
        setattr(owner, name, lambda *seeds: torch.default_generator)
    try:
        yield
    finally:
        for (owner, name), function in zip(SEEDED, own):
            setattr(owner, name, function)
        random.setstate(before)
        numpy.random.set_state(numpys)


def generate(axes, *, structure, scalars, generator, device, family="typical"):
    """Draws a seed from the generator, and calls get_inputs() under it, on the device."""
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    device = torch.device(device)
    others = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=others), device, seeded(seed), @PLACED@:
        made = list(_task.get_inputs())
    values = @VALUES@
    return {
        name: value.detach().to(device) if isinstance(value, torch.Tensor) else value
        for name, value in values.items()
    }
'''

WRAPPER = '''"""Calls @CLASS@ of @MODULE@.py, built once for each device, under its seed."""

import copy

import torch

from .@MODULE@ import @CLASS@ as _Model

INIT = (@INIT@)
KEEPS_STATE = @KEEPS_STATE@
_built = {}
@HELPERS@

def run(*inputs):
    device = next((str(v.device) for v in inputs if isinstance(v, torch.Tensor)), "cpu")
    with torch.no_grad():
        if device not in _built:
            torch.manual_seed(@SEED@)
            _built[device] = _Model(*INIT).to(device)
        model = copy.deepcopy(_built[device]) if KEEPS_STATE else _built[device]
        return @CALLED@
'''
LEAVES = '''

def kh_leaves(made):
    """The inputs in what get_inputs gives, by name."""
    found = {}
    for name, value in zip(@ARGUMENTS@, made, strict=True):
        found |= kh_tree(value, name)[1]
    return found
'''
COPIES = '''

def kh_copied(result):
    """The outputs; where the task gives an input as one, in memory of its own."""
    made = result if isinstance(result, tuple | list) else (result,)
    return tuple(v.clone() if i in KH_ALIASES else v for i, v in enumerate(made))
'''


@dataclass(frozen=True)
class CallForm:
    """How a model is called, and what it gives.

    Args:
        names: of the inputs, in order.
        arguments: of forward, by name their trees of inputs; None where each is one input.
        nested: whether outputs lie in tuples of tuples, or in tables.
        aliases: positions of outputs that are an input's memory.
    """

    names: Sequence[str]
    arguments: Mapping[str, Any] | None = None
    nested: bool = False
    aliases: Sequence[int] = ()

    @property
    def helpers(self) -> str:
        """The functions that `given` and `outputs` need."""
        found = ""
        if self.arguments is not None:
            trees = list(self.arguments.values())
            found += (
                f"KH_NAMES = {tuple(self.names)!r}\nKH_ARGUMENTS = {trees!r}\n{HELPERS}{VALUES}"
            )
        if self.aliases:
            found += f"KH_ALIASES = {tuple(self.aliases)!r}\n"
        return found + (FLAT if self.nested else "") + (COPIES if self.aliases else "")

    @property
    def given(self) -> str:
        """Code for what a call is given, of the inputs."""
        return "inputs" if self.arguments is None else "kh_values(inputs)"

    def outputs(self, code: str, *, copied: bool) -> str:
        """Code for the outputs, one beside the other, in what some code gives.

        Args:
            copied: whether they are to have memory of their own.
        """
        code = f"kh_flat({code})" if self.nested else code
        return f"kh_copied({code})" if self.aliases and copied else code


def reference_text(
    task: str, form: CallForm, *, keeps_state: bool, halves: Sequence[int] = ()
) -> str:
    """A task's file with the function `run`, which computes what its Model does.

    Args:
        halves: positions of inputs in half precision; `run` takes them in float32, too.
    """
    called = f"{COPIED if keeps_state else MODEL}(*{form.given})"
    tail = filled(
        REFERENCE_TAIL,
        CALLED=form.outputs(called, copied=False),
        SEED=str(SEED),
        HALVES=repr(tuple(halves)),
    )
    tail += form.helpers if form.arguments is not None or form.nested else ""
    tail += filled(HERE_TAIL, HERE=HERE) if names_a_gpu(task) else ""
    return task.rstrip() + "\n" + tail


def inputs_text(task: str, form: CallForm) -> str:
    """The inputs.py of a task."""
    values, helpers = "dict(zip(NAMES, made, strict=True))", ""
    if form.arguments is not None:
        values, helpers = (
            "kh_leaves(made)",
            HELPERS + LEAVES.replace("@ARGUMENTS@", repr(tuple(form.arguments))),
        )
    placed = "contextlib.nullcontext()"
    if names_a_gpu(task):
        placed = f'{placed} if device.type == "cuda" else _task.KhHere(device)'
    return filled(
        INPUTS, NAMES=repr(tuple(form.names)), VALUES=values, HELPERS=helpers, PLACED=placed
    )


def wrapper_text(
    module: str, class_name: str, init: Sequence[str], form: CallForm, *, keeps_state: bool
) -> str:
    """The entry point that builds and calls a module's class.

    Args:
        init: the construction's arguments, as Python spells them.
    """
    return filled(
        WRAPPER,
        CLASS=class_name,
        MODULE=module,
        INIT="".join(f"{value}, " for value in init).rstrip(" "),
        KEEPS_STATE=str(keeps_state),
        SEED=str(SEED),
        HELPERS=form.helpers,
        CALLED=form.outputs(f"model(*{form.given})", copied=True),
    )


def filled(text: str, **fields: str) -> str:
    """A text with values in place of its marks."""
    for name, value in fields.items():
        text = text.replace(f"@{name}@", value)
    return text
