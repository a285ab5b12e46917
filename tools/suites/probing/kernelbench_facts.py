"""What the code of a KernelBench task takes and gives.

Code runs on tensors that have no memory (`FakeTensorMode`); where it asks for values, on real ones.
What it asks for on a GPU is made without one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef

from ..texts.host_device import HERE
from ..texts.kernelbench import FLAT
from ..texts.task_values import HELPERS
from .task_code import Facts, NotImportableError, bound_memory, functions_of, load_task, reason_of

SEED = 42
NAMES = ("Model", "get_inputs", "get_init_inputs")
PLAIN = (bool, int, float, str)
LEAF = "leaf Variable that requires grad"
"""In what torch says of a tensor that is written to, and whose gradient is asked for."""
State = Mapping[tuple[str, str], Any]
_CODE = functions_of(HERE, HELPERS, FLAT)


def facts_of(asked: Facts) -> Facts:
    """The facts of a task's file, or `{"reason": …}`; runs its code here."""
    file = Path(asked["file"])
    try:
        with _CODE["KhHere"]("cpu"):
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
    values = list(task.get_inputs())
    names = _names(task.Model, len(values))
    try:
        trees = {n: _CODE["kh_tree"](v, n) for n, v in zip(names, values, strict=True)}
    except TypeError as error:
        raise NotImportableError(str(error)) from error
    leaves = {name: leaf for _, own in trees.values() for name, leaf in own.items()}
    if len(leaves) < sum(len(own) for _, own in trees.values()):
        raise NotImportableError("parts of its inputs have the names of others")
    arguments = {name: tree for name, (tree, _) in trees.items()}
    single = all(tree in (("tensor", n), ("number", n)) for n, tree in arguments.items())
    before = _state_of(model)
    with torch.no_grad():
        result = model(*values)
    outputs = _outputs(result)
    keeps_state = _changed(before, _state_of(model))
    return {
        "inputs": {name: _leaf(value) for name, value in leaves.items()},
        "outputs": [_leaf(value) for value in outputs],
        "init": _spelled(init),
        "keeps_state": keeps_state,
        "arguments": None if single else arguments,
        "nested": not _is_flat(result),
        "aliases": _aliases(outputs, leaves.values()),
        "overwritten": _overwritten(model, arguments, leaves),
    }


def _names(model: Any, count: int) -> list[str]:
    """What forward calls its first inputs."""
    taken = list(inspect.signature(model.forward).parameters.values())[1:]
    names = [p.name for p in taken if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = [p.name for p in taken if p.kind is p.VAR_POSITIONAL]
    if len(names) < count and not rest:
        raise NotImportableError(f"get_inputs gives {count} values, forward takes {len(names)}")
    return [*names, *(f"{rest[0]}_{i}" for i in range(count - len(names)) if rest)][:count]


def _is_flat(result: Any) -> bool:
    """Whether outputs are one tensor, or lie beside one another."""
    parts = result if isinstance(result, tuple | list) else [result]
    return all(isinstance(part, torch.Tensor) for part in parts)


def _outputs(result: Any) -> list[torch.Tensor]:
    values = list(_CODE["kh_flat"](result))
    if not values or not all(isinstance(value, torch.Tensor) for value in values):
        kinds = ", ".join(type(value).__name__ for value in values) or "nothing"
        raise NotImportableError(f"forward gives {kinds}; outputs must be tensors")
    return values


def _leaf(value: Any) -> Facts:
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided:
            raise NotImportableError("a tensor of it is sparse, which no definition has")
        dtype = str(value.dtype).removeprefix("torch.")
        if value.is_complex():
            raise NotImportableError(f"a tensor of it is {dtype}, which no definition has")
        return {"shape": list(value.shape), "dtype": dtype}
    dtypes = {bool: "bool", int: "int64", float: "float32"}
    return {"shape": None, "dtype": dtypes[type(value)], "value": value}


def _aliases(outputs: Sequence[torch.Tensor], inputs: Any) -> list[int]:
    """The positions of outputs that are an input's memory."""
    held = [_memory(value) for value in inputs if isinstance(value, torch.Tensor)]
    return [i for i, value in enumerate(outputs) if _memory(value) in held]


def _memory(value: torch.Tensor) -> StorageWeakRef:
    return StorageWeakRef(value.untyped_storage())


def _overwritten(
    model: torch.nn.Module, arguments: Mapping[str, Any], leaves: Mapping[str, Any]
) -> list[str]:
    """The inputs that a call writes to; of those with fractions, for only they have gradients."""
    named = [
        name
        for name, value in leaves.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    ]

    def writes_to(chosen: Sequence[str]) -> bool:
        given = {
            name: value.detach().clone().requires_grad_(name in chosen)
            if isinstance(value, torch.Tensor)
            else value
            for name, value in leaves.items()
        }
        try:
            with torch.enable_grad():
                model(*(_CODE["kh_value"](t, given) for t in arguments.values()))
        except Exception as error:  # of the task's code
            return LEAF in str(error)
        return False

    return [name for name in named if writes_to([name])] if writes_to(named) else []


def _spelled(init: Sequence[Any]) -> list[str]:
    """The construction's arguments, as a candidate's file spells them."""
    return [_spelling(value) for value in init]


def _spelling(value: Any) -> str:
    if isinstance(value, list | tuple):
        parts = ", ".join(map(_spelling, value))
        if isinstance(value, list):
            return f"[{parts}]"
        return f"({parts},)" if len(value) == 1 else f"({parts})"
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return "{" + ", ".join(f"{key!r}: {_spelling(v)}" for key, v in value.items()) + "}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, torch.dtype):
        return str(value)
    if inspect.isroutine(value) or inspect.isclass(value):
        module, _, name = f"{value.__module__}.{value.__qualname__}".rpartition(".")
        for place in ("torch.nn", "torch.nn.functional", "torch", module):
            if place.startswith("torch") and _at(f"{place}.{name}") is value:
                return f"{place}.{name}"
    raise NotImportableError(
        f"get_init_inputs gives a {type(value).__name__}, which is no plain value"
    )


def _at(path: str) -> Any:
    """What a dotted name of torch's names; None where it names nothing."""
    found: Any = torch
    for part in path.split(".")[1:]:
        found = getattr(found, part, None)
    return found


def _state_of(model: torch.nn.Module) -> State:
    """The tensors that the modules hold as buffers or attributes, and their numbers."""
    return {
        (place, name): value
        for place, module in model.named_modules()
        for name, value in {**vars(module), **dict(module.named_buffers(recurse=False))}.items()
        if isinstance(value, torch.Tensor | int | float)
    }


def _changed(before: State, after: State) -> bool:
    """Whether other tensors or numbers are held: what is written in place counts as none."""
    return before.keys() != after.keys() or any(
        value is not before[at] if isinstance(value, torch.Tensor) else value != before[at]
        for at, value in after.items()
    )
