"""The entry point that calls a kernel of KernelAgent's with what its test would hand over."""

from __future__ import annotations

from collections.abc import Sequence

from .kernelbench import SEED, CallForm, filled

ENTRY = '''"""Calls kernel_function with the inputs and with what of the model it asks for."""

import inspect

import torch

from .kernel_source import kernel_function
from .problem import Model

INPUTS = @NAMES@
INIT = (@INIT@)
_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_built = {}
@HELPERS@

def _known(model):
    """What the model holds, by every name that tells it: tensors, plain attributes, arguments."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    found = {name.replace(".", "_"): [value] for name, value in tensors}
    for name, value in tensors:
        if "." in name:
            found.setdefault(name.rpartition(".")[2], []).append(value)
    arguments = inspect.signature(type(model).__init__).parameters
    for name, value in zip(list(arguments)[1:], INIT):
        found.setdefault(name, [value])
    for module in model.modules():
        for name, value in vars(module).items():
            if not name.startswith("_") and name != "training":
                plain = value is None or isinstance(value, bool | int | float | str | tuple)
                same = any(type(v) is type(value) and v == value for v in found.get(name, []))
                if plain and not same:
                    found.setdefault(name, []).append(value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _built_on(device):
    if device not in _built:
        torch.manual_seed(@SEED@)
        _built[device] = _known(Model(*INIT).to(device))
    return _built[device]


def run(*inputs):
    device = next((str(v.device) for v in inputs if isinstance(v, torch.Tensor)), "cpu")
    taken = inspect.signature(kernel_function).parameters
    placed = [p.name for p in taken.values() if p.kind in _PLACED]
    more = [name for name, p in taken.items() if p.kind is p.KEYWORD_ONLY]
    positional, named, lacking = @POSITIONAL@, {}, []
    with torch.no_grad():
        known = _built_on(device)
        for name in (*placed[len(positional):], *more):
            if name in known:
                named[name] = known[name]
            elif taken[name].default is inspect.Parameter.empty:
                lacking.append(name)
        if lacking:
            raise TypeError(
                f"kernel_function asks for {', '.join(lacking)}; beside the inputs "
                f"{', '.join(INPUTS)} the model has: {', '.join(sorted(known)) or 'nothing'}"
            )
        return @CALLED@
'''


def entry_text(init: Sequence[str], form: CallForm) -> str:
    """The entry point of a kernel of a problem whose model is called in a form.

    Args:
        init: the model's arguments, as Python spells them.
    """
    return filled(
        ENTRY,
        NAMES=repr(tuple(form.arguments or form.names)),
        HELPERS=form.helpers,
        INIT="".join(f"{value}, " for value in init).rstrip(" "),
        SEED=str(SEED),
        POSITIONAL=f"list({form.given})",
        CALLED=form.outputs("kernel_function(*positional, **named)", copied=True),
    )
