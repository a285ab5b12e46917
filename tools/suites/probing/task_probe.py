"""Tells what the code of KernelBench tasks takes and gives, each task in a fork of its own.

A program: a JSON line with `files` and `limit_s` comes in, a JSON line for each file goes out, in
order. A task that fails, ends its process or takes too long costs only itself. Code runs on tensors
that have no memory (`FakeTensorMode`); where it asks for values, on real ones, in at most half of
the machine's memory.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

SEED = 42
NAMES = ("Model", "get_inputs", "get_init_inputs")
Facts = dict[str, Any]
Tensors = Mapping[tuple[str, str], torch.Tensor]


class NotImportableError(Exception):
    """A task has no form that an operator can have; the words say why."""


def main() -> None:
    """Answers the one request on standard input; the tasks' own output goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    torch.set_num_threads(1)
    with FakeTensorMode():  # loads what every fork would load anew
        torch.nn.BatchNorm1d(2)(torch.rand(2, 2))
    for file in asked["files"]:
        answers.write(json.dumps(_facts_in_a_fork(Path(file), float(asked["limit_s"]))) + "\n")
        answers.flush()


def _facts_in_a_fork(file: Path, limit_s: float) -> Facts:
    """The facts of a task, or `{"reason": …}`, from a fork of this process."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        with os.fdopen(writable, "w", encoding="utf-8") as out:
            out.write(json.dumps(facts_of(file)))
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, encoding="utf-8") as answer:
        text = answer.read()
    status = os.waitpid(child, 0)[1]
    with contextlib.suppress(ValueError):
        return dict(json.loads(text))
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return {"reason": f"its code had not ended after {limit_s:g} s"}
    return {"reason": f"its code ended the process with {os.waitstatus_to_exitcode(status)}"}


def facts_of(file: Path) -> Facts:
    """The facts of a task's file, or `{"reason": …}`; runs its code here."""
    try:
        task = _loaded(file)
        try:
            with FakeTensorMode():
                return _described(task)
        except NotImportableError:
            raise
        except Exception:  # whatever a task asks of tensors without memory
            _bound_memory()
            return _described(task)
    except NotImportableError as error:
        return {"reason": str(error)}
    except (Exception, SystemExit) as error:  # of the task's code
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(file)]
        at = f" (line {lines[-1]})" if lines else ""
        return {"reason": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{at}"}


def _bound_memory() -> None:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _loaded(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("kernelbench_task", file)
    assert spec is not None and spec.loader is not None
    task = importlib.util.module_from_spec(spec)
    sys.modules["kernelbench_task"] = task
    spec.loader.exec_module(task)
    if lacking := [name for name in NAMES if not hasattr(task, name)]:
        raise NotImportableError(f"it has no {', '.join(lacking)}")
    return task


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


if __name__ == "__main__":
    main()
