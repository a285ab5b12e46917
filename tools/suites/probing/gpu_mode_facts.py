"""What the code of a gpu-mode task takes and gives, for each of its cases.

The first case runs on real tensors, which also shows the buffers among its data: tensors that look
as an output does and whose values do not matter. The others run on tensors without memory, or where
the code asks for values on real ones.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from .task_code import Facts, NotImportableError, bound_memory, load_task, reason_of, require_names

NAMES = ("generate_input", "ref_kernel", "check_implementation")
FILE = "<reference.py of the task>"


def facts_of(asked: Facts) -> Facts:
    """The facts of a task by the text that `texts.gpu_mode` makes of it, or `{"reason": …}`."""
    try:
        file = load_task(Path(asked["file"]), ())
        require_names(file.kh_task(), NAMES)
        bound_memory()
        first, *others = asked["cases"]
        facts, tree = _described(file, first)
        data = file.kh_task().generate_input(**first)
        fresh = _buffers(file, tree, data, facts["outputs"])
        cases = [facts, *(_case(file, tree, case) for case in others)]
        single = isinstance(file.kh_task().ref_kernel(data), torch.Tensor)
        return {"tree": tree, "cases": cases, "fresh": fresh, "single": single}
    except (Exception, SystemExit) as error:  # of the task's code
        return {"reason": reason_of(error, FILE)}


def _case(file: ModuleType, tree: Any, case: Facts) -> Facts:
    try:
        try:
            with FakeTensorMode():
                facts, other = _described(file, case)
        except Exception:  # whatever it asks of tensors without memory
            facts, other = _described(file, case)
    except (Exception, SystemExit) as error:
        return {"reason": reason_of(error, FILE)}
    return facts if other == tree else {"reason": "its data is built otherwise than the first's"}


def _described(file: ModuleType, case: Facts) -> tuple[Facts, Any]:
    """Inputs and outputs of a case, and the tree of its data."""
    data = file.kh_task().generate_input(**case)
    try:
        tree, leaves = file.kh_tree(data, "data")
    except TypeError as error:
        raise NotImportableError(str(error)) from error
    inputs = {name: _leaf(value) for name, value in leaves.items()}
    with torch.no_grad():
        result = file.kh_task().ref_kernel(data)
    values = list(result) if isinstance(result, tuple | list) else [result]
    if not all(isinstance(value, torch.Tensor) for value in values):
        raise NotImportableError("ref_kernel gives what is no tensor")
    return {"inputs": inputs, "outputs": [_leaf(value) for value in values]}, tree


def _leaf(value: Any) -> Facts:
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    dtypes = {bool: "bool", int: "int64", float: "float32"}
    return {"shape": None, "dtype": dtypes[type(value)], "value": value}


def _buffers(file: ModuleType, tree: Any, data: Any, outputs: list[Facts]) -> list[str]:
    """Names of the last tensors of the data that an output is written to."""
    _, leaves = file.kh_tree(data, "data")
    found: list[str] = []
    for name in reversed(list(leaves)):
        value = leaves[name]
        if not isinstance(value, torch.Tensor) or _leaf(value) not in outputs:
            break
        if _matters(file, tree, leaves, name):
            break
        found.append(name)
    return found


def _matters(file: ModuleType, tree: Any, leaves: dict[str, Any], name: str) -> bool:
    """Whether other values of a tensor give other outputs, or none."""
    due = _outputs_with(file, tree, leaves, "")
    try:
        got = _outputs_with(file, tree, leaves, name)
    except Exception:  # of the task's code
        return True
    return any(map(_differs, due, got))


def _outputs_with(
    file: ModuleType, tree: Any, leaves: dict[str, Any], ones: str
) -> list[torch.Tensor]:
    """What the reference makes of copies, one of which may hold ones instead."""
    copies = {
        name: value.clone() if isinstance(value, torch.Tensor) else value
        for name, value in leaves.items()
    }
    if ones:
        copies[ones] = torch.ones_like(copies[ones])
    result = file.kh_task().ref_kernel(file.kh_value(tree, copies))
    values = list(result) if isinstance(result, tuple | list) else [result]
    return [value.clone() for value in values]


def _differs(one: torch.Tensor, other: torch.Tensor) -> bool:
    return not torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
