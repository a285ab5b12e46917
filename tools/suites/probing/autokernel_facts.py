"""What the operations of AutoKernel's bench.py are, and what each takes and gives by size.

Code runs on tensors without memory, or where it asks for values on real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from .task_code import Facts, NotImportableError, bound_memory, load_task, reason_of

FILE = "<bench of the task>"


def facts_of(asked: Facts) -> Facts:
    """The operations of a bench.py, or with `sizes` the facts of one, or `{"reason": …}`."""
    try:
        file = load_task(Path(asked["file"]), ())
        if "sizes" not in asked:
            return {"operations": _operations(file.kh_configs())}
        bound_memory()
        first, *others = asked["sizes"]
        facts, tree = _case(file, first)
        cases = [facts]
        for size in others:
            try:
                facts, other = _case(file, size)
                differs = {"reason": "its inputs are built otherwise than the first's"}
                cases.append(facts if other == tree else differs)
            except (Exception, SystemExit) as error:  # of the task's code
                cases.append({"reason": reason_of(error, FILE)})
        return {"tree": tree, "cases": cases}
    except (Exception, SystemExit) as error:  # of the task's code
        return {"reason": reason_of(error, FILE)}


def _operations(configs: Mapping[str, Mapping[str, Any]]) -> Facts:
    found = {}
    for name, config in configs.items():
        try:
            found[str(name)] = _operation(config)
        except (KeyError, TypeError, ValueError) as error:
            found[str(name)] = {"reason": f"its entry cannot be used: {reason_of(error, FILE)}"}
    return found


def _operation(config: Mapping[str, Any]) -> Facts:
    return {
        "sizes": [_size(label, size) for label, size in config["test_sizes"]],
        "edges": [_size(label, size) for label, size in config.get("edge_sizes") or ()],
        "tolerances": {
            str(dtype).removeprefix("torch."): {
                bound: float(config["tolerances"][dtype][bound]) for bound in ("atol", "rtol")
            }
            for dtype in config["test_dtypes"]
        },
    }


def _size(label: Any, size: Mapping[str, Any]) -> list[Any]:
    if strange := [key for key, value in size.items() if not isinstance(value, int | float | str)]:
        raise ValueError(f"{strange[0]} of the size {label} is no number")
    return [str(label), dict(size)]


def _case(file: ModuleType, size: Facts) -> tuple[Facts, Any]:
    try:
        with FakeTensorMode():
            return _described(file, size)
    except NotImportableError:
        raise
    except Exception:  # whatever it asks of tensors without memory
        return _described(file, size)


def _described(file: ModuleType, size: Facts) -> tuple[Facts, Any]:
    """Inputs and outputs at a size, and the tree of the reference's arguments."""
    trees, leaves = {}, {}
    made = file.kh_inputs(size, "cpu", 42)
    for name, value in made.items():
        try:
            trees[name], found = file.kh_tree(value, name)
        except TypeError as error:
            raise NotImportableError(str(error)) from error
        leaves.update(found)
    with torch.no_grad():
        outputs = file.kh_outputs(made)
    if not all(isinstance(value, torch.Tensor) for value in outputs):
        raise NotImportableError("its reference gives what is no tensor")
    inputs = {name: _leaf(value) for name, value in leaves.items()}
    return {"inputs": inputs, "outputs": [_leaf(v) for v in outputs]}, ("dict", trees)


def _leaf(value: Any) -> Facts:
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    dtypes = {bool: "bool", int: "int64", float: "float32"}
    return {"shape": None, "dtype": dtypes[type(value)], "value": value}
