"""Has a cost.py counted in a process of its own: it is an operator's code, and may never return.

Half of the machine's memory is the most that it gets.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...devices.roofline import Cost
from ...errors import DatasetError
from ...settings import candidate_environment

LIMIT_S = 20
"""For all sizes that are asked of at once."""
GRACE_S = 5
"""More, until the process is killed that did not end itself."""
_PROGRAM = "kernel_harness.tools.workloads.costs.counting"


class Sizes(NamedTuple):
    """What the work of is to be counted: all axes, and what is known of the values of inputs."""

    axes: Mapping[str, int]
    structure: Mapping[str, Any] | None


def counted_costs(file: Path, asked: Sequence[Sizes]) -> list[Cost | DatasetError]:
    """The work of each size in turn, or why it was not counted."""
    sizes = json.dumps([{"axes": dict(one.axes), "structure": one.structure} for one in asked])
    said, ended = _said(file, sizes)
    if said and "unloaded" in said[0]:
        why = f"It cannot be imported: {said[0]['unloaded']}"
        return [DatasetError(why, where=str(file))] * len(asked)
    found = [_cost(one) for one in said]
    found += [ended] * (len(asked) - len(found))
    return [
        one if isinstance(one, Cost) else _fault(file, sizes.axes, one)
        for sizes, one in zip(asked, found, strict=True)
    ]


def _fault(file: Path, axes: Mapping[str, int], why: str) -> DatasetError:
    fields = ", ".join(one.name for one in dataclasses.fields(Cost))
    return DatasetError(
        f"cost() failed for axes {dict(axes)}: {why}",
        where=str(file),
        remedy=f"It returns a dict whose fields may be {fields}.",
    )


def _said(file: Path, sizes: str) -> tuple[list[dict[str, Any]], str]:
    """The lines that the process wrote, and how it ended before it wrote the next."""
    command = [sys.executable, "-P", "-m", _PROGRAM, str(file), str(LIMIT_S)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=candidate_environment(),
        start_new_session=True,
    ) as process:
        try:
            out, _ = process.communicate(sizes.encode(), timeout=LIMIT_S + GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, _ = process.communicate()
    late = process.returncode in (-signal.SIGALRM, -signal.SIGKILL)
    ended = f"it had not returned after {LIMIT_S} s" if late else "it ended its process"
    return [json.loads(line) for line in out.splitlines()], ended


def _cost(said: Mapping[str, Any]) -> Cost | str:
    if "fault" in said:
        return str(said["fault"])
    try:
        return Cost(**said["cost"])
    except (TypeError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
