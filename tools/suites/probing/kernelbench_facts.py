"""What the code of a KernelBench task takes and gives.

Code runs on tensors that have no memory (`FakeTensorMode`); where it asks for values, on real ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from .task_code import Facts, NotImportableError, bound_memory, load_task, reason_of

SEED = 42
NAMES = ("Model", "get_inputs", "get_init_inputs")
Tensors = Mapping[tuple[str, str], torch.Tensor]


def facts_of(asked: Facts) -> Facts:
    """The facts of a task's file, or `{"reason": …}`; runs its code here."""
    file = Path(asked["file"])
    try:
        task = load_task(file, NAMES)
        try:
            with FakeTensorMode():
                return _described(task)
        except NotImportableError:
            raise
        except Exception:  # whatever a task asks of tensors without memory
            bound_memory()
            return _described(task)
    except (Exception, SystemExit) as error:  # of the task's code
        return {"reason": reason_of(error, str(file))}


def _described(task: ModuleType) -> Facts:
    """Inputs, outputs and construction of a task, from one call of its model in train mode."""
    torch.manual_seed(SEED)
    init = list(task.get_init_inputs())
    torch.manual_seed(SEED)
    model = task.Model(*init)
    inputs = list(task.get_inputs())
    described = [_input(position, value) for position, value in enumerate(inputs)]
    before = _tensors_of(model)
    with torch.no_grad():
        result = model(*inputs)
    return {
        "inputs": dict(zip(_names(task.Model, len(inputs)), described, strict=True)),
        "outputs": _outputs(result),
        "init": _plain(init),
        "keeps_state": _changed(before, _tensors_of(model)),
    }


def _names(model: Any, count: int) -> list[str]:
    """What forward calls its first inputs."""
    taken = list(inspect.signature(model.forward).parameters.values())[1:]
    names = [p.name for p in taken if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = [p.name for p in taken if p.kind is p.VAR_POSITIONAL]
    if len(names) < count and not rest:
        raise NotImportableError(f"get_inputs gives {count} values, forward takes {len(names)}")
    return [*names, *(f"{rest[0]}_{i}" for i in range(count - len(names)) if rest)][:count]


def _input(position: int, value: Any) -> Facts:
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    if isinstance(value, bool | int | float):
        dtypes = {bool: "bool", int: "int64", float: "float32"}
        return {"shape": None, "dtype": dtypes[type(value)], "value": value}
    kind = type(value).__name__
    raise NotImportableError(f"input {position} is a {kind}, neither a tensor nor a number")


def _outputs(result: Any) -> list[Facts]:
    values = list(result) if isinstance(result, tuple | list) else [result]
    if not values or not all(isinstance(value, torch.Tensor) for value in values):
        kinds = ", ".join(type(value).__name__ for value in values) or "nothing"
        raise NotImportableError(f"forward gives {kinds}; outputs must be tensors")
    return [_tensor(value) for value in values]


def _tensor(value: torch.Tensor) -> Facts:
    return {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}


def _plain(init: Sequence[Any]) -> list[Any]:
    """The construction's arguments, which a candidate's file must be able to spell."""

    def plain(value: Any) -> bool:
        if isinstance(value, list | tuple):
            return all(plain(item) for item in value)
        if isinstance(value, Mapping):
            return all(isinstance(k, str) and plain(v) for k, v in value.items())
        return value is None or isinstance(value, bool | int | float | str)

    if strange := [type(value).__name__ for value in init if not plain(value)]:
        raise NotImportableError(f"get_init_inputs gives a {strange[0]}, which is no plain value")
    return [repr(value) for value in init]


def _tensors_of(model: torch.nn.Module) -> dict[tuple[str, str], torch.Tensor]:
    """The tensors that the modules hold as buffers or attributes."""
    return {
        (place, name): value
        for place, module in model.named_modules()
        for name, value in {**vars(module), **dict(module.named_buffers(recurse=False))}.items()
        if isinstance(value, torch.Tensor)
    }


def _changed(before: Tensors, after: Tensors) -> bool:
    """Whether other tensors are held: what is written in place counts as none."""
    return before.keys() != after.keys() or any(after[at] is not before[at] for at in before)
