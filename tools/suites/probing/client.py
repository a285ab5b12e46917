"""Asks a process of its own what the tasks of a suite take and give: see `task_probe`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...settings import candidate_environment
from ..texts.kernelbench import CallForm

PROBE = "kernel_harness.tools.suites.probing.task_probe"
NOT_COMPILED = {"TORCHDYNAMO_DISABLE": "1"}
"""Has torch.compile do nothing: shapes are asked for, and a fork cannot compile."""
LIMIT_S = 60.0
"""Of one task's code."""


@dataclass(frozen=True)
class TensorFacts:
    """Shape and dtype of an input or output; a scalar has no shape, and a value."""

    shape: tuple[int, ...] | None
    dtype: str
    value: float | None = None


@dataclass(frozen=True)
class TaskFacts:
    """What a task's code takes and gives.

    Args:
        inputs: by the names that forward has for them, in its order.
        init: the construction's arguments, as Python spells them.
        keeps_state: whether a call leaves other tensors or numbers in the module than it found.
        form: how the model is called, and what it gives.
        overwritten: inputs that a call writes to.
    """

    inputs: dict[str, TensorFacts]
    outputs: tuple[TensorFacts, ...]
    init: tuple[str, ...]
    keeps_state: bool
    form: CallForm
    overwritten: tuple[str, ...] = ()


def probe(files: Sequence[Path], limit_s: float = LIMIT_S) -> Iterator[TaskFacts | str]:
    """For each file of KernelBench its facts, or why it cannot be imported, as they are known."""
    tasks = [{"file": str(file.resolve())} for file in files]
    for answer in ask("kernelbench", tasks, limit_s):
        yield facts_from(answer)


def ask(
    kind: str, tasks: Sequence[Mapping[str, Any]], limit_s: float = LIMIT_S
) -> Iterator[dict[str, Any]]:
    """For each task of a suite its facts, or `{"reason": …}`, as they become known."""
    asked = json.dumps({"kind": kind, "tasks": list(tasks), "limit_s": limit_s})
    with subprocess.Popen(
        [sys.executable, "-P", "-m", PROBE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=candidate_environment() | NOT_COMPILED,
        text=True,
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(asked + "\n")
        child.stdin.close()
        for _ in tasks:
            line = child.stdout.readline()
            ended = {"reason": "the process that looks at tasks ended"}
            yield dict(json.loads(line)) if line else ended


def facts_from(answer: dict[str, Any]) -> TaskFacts | str:
    """The facts in an answer of the probing process, or the reason in it."""
    if "reason" in answer:
        return str(answer["reason"])
    return TaskFacts(
        inputs={name: _tensor(spec) for name, spec in answer["inputs"].items()},
        outputs=tuple(_tensor(spec) for spec in answer["outputs"]),
        init=tuple(answer["init"]),
        keeps_state=bool(answer["keeps_state"]),
        form=CallForm(
            tuple(answer["inputs"]), answer["arguments"], answer["nested"], answer["aliases"]
        ),
        overwritten=tuple(answer["overwritten"]),
    )


def _tensor(spec: dict[str, Any]) -> TensorFacts:
    shape = spec["shape"]
    return TensorFacts(None if shape is None else tuple(shape), spec["dtype"], spec.get("value"))
