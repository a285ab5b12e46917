"""What the function of a robust-kbench task takes and gives, for each of its configurations.

Code runs on real tensors: weights and inputs are those of the configurations. The suite's own
filters are tried on the first one: what they drop can be passed by a constant, or nearly so.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from .task_code import Facts, NotImportableError, bound_memory, load_task, reason_of, require_names

NAMES = ("forward_fn", "Model", "get_inputs")
BACKWARD_NAMES = (*NAMES, "AutogradFunction")
SEEDS = 4
LEAST = 0.01
"""Of a range or spread of outputs, by the suite."""
MOST_ELEMENTS = 20_000_000


def facts_of(asked: Facts) -> Facts:
    """The facts of a task by the text that `texts.robust_kbench` makes, or `{"reason": …}`.

    Of a backward its `plan`, too: how the gradients are made of what is handed over.
    """
    file = Path(asked["file"])
    backward = asked["function"] == "backward"
    try:
        task = load_task(file, ())
        require_names(task, BACKWARD_NAMES if backward else NAMES)
        bound_memory()
        tree: Any = None
        plan: Any = None
        cases = []
        for config in asked["configs"]:
            torch.manual_seed(0)
            if backward:
                try:
                    plan = task.kh_plan(config["init"], config["input"], plan)
                except TypeError as error:
                    if plan is None:
                        raise NotImportableError(str(error)) from error
                    cases.append({"reason": str(error)})
                    continue
                vars(task)["_KH_PLAN"] = plan
            facts, found = _described(task, config)
            tree = tree or found
            differs = {"reason": "its function is called otherwise than in the first one"}
            cases.append(facts if found == tree else differs)
        weak = _weak(task, asked["configs"][0])
        weak += [] if backward else _ignored(task, asked["configs"][0])
        return {"tree": tree, "cases": cases, "warnings": weak, "plan": plan}
    except (Exception, SystemExit) as error:  # of the task's code
        return {"reason": reason_of(error, str(file))}


def _described(task: ModuleType, config: Facts) -> tuple[Facts, Any]:
    """Inputs and outputs of the function in a configuration, and the tree of its arguments."""
    handed = task.kh_handed(config["init"], config["input"])
    if not handed:
        raise NotImportableError("its Model calls no function that is given to it as fn")
    trees, leaves = [], {}
    for name, value in handed.items():
        tree, found = task.kh_tree(value, name)
        trees.append(tree)
        leaves.update(found)
    outputs = _outputs(task, handed)
    inputs = {name: _leaf(value) for name, value in leaves.items()}
    return {"inputs": inputs, "outputs": [_leaf(value) for value in outputs]}, ("tuple", trees)


def _outputs(task: ModuleType, handed: dict[str, Any]) -> list[torch.Tensor]:
    with torch.no_grad():
        made = task.kh_function(*handed.values())
    values = list(made) if isinstance(made, tuple | list) else [made]
    if not all(isinstance(value, torch.Tensor) for value in values):
        raise NotImportableError("its function gives what is no tensor")
    return values


def _leaf(value: Any) -> Facts:
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    dtypes = {bool: "bool", int: "int64", float: "float32"}
    return {"shape": None, "dtype": dtypes[type(value)], "value": value}


def _weak(task: ModuleType, config: Facts) -> list[str]:
    """Why the suite's filters would drop the task, in words."""
    drawn = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        first = _outputs(task, task.kh_handed(config["init"], config["input"]))[0]
        if first.numel() > MOST_ELEMENTS or not first.numel():
            return []
        drawn.append(first.double())
    several = torch.stack(drawn)
    found = []
    if float(several.abs().max()) < LEAST:
        found.append(f"all of its outputs are within {LEAST} of zero")
    if float(several.std(dim=0).max()) < LEAST:
        found.append(f"the spread of its outputs over inputs and weights is below {LEAST}")
    for axis, size in enumerate(drawn[0].shape):
        if size > 1 and float(drawn[0].std(dim=axis).max()) < LEAST:
            found.append(f"the spread of its outputs along axis {axis} is below {LEAST}")
    return found


def _ignored(task: ModuleType, config: Facts) -> list[str]:
    """What the outputs hardly change with, of what is drawn: inputs, or weights."""

    def made(weights: int, inputs: int) -> tuple[list[torch.Tensor], torch.Tensor]:
        torch.manual_seed(weights)
        handed = task.kh_handed(config["init"], config["input"], inputs)
        tensors = [v for v in handed.values() if isinstance(v, torch.Tensor)]
        return tensors, _outputs(task, handed)[0].double()

    given, due = made(0, SEEDS)
    if not 0 < due.numel() <= MOST_ELEMENTS:
        return []
    found = []
    for what, (other, output) in {
        "inputs": made(0, SEEDS + 1),
        "weights": made(1, SEEDS),
    }.items():
        drawn = not all(map(torch.equal, given, other))
        if drawn and output.shape == due.shape and float((output - due).abs().max()) < LEAST:
            found.append(f"its outputs change by less than {LEAST} with other {what}")
    return found
