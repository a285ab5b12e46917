"""Has a cost.py counted in a process of its own: it is an operator's code, and may never return.

Half of the machine's memory is the most that it gets. It writes into a file and not into a pipe,
which a process that it leaves behind would hold open.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...devices.roofline import Cost
from ...errors import DatasetError
from ...settings import candidate_environment

LIMIT_S = 20
"""For all sizes that are asked of at once."""
GRACE_S = 5
"""More, until the process is killed that did not end itself."""
MOST_BYTES = 64 << 20
"""That it may write, and that are read of it."""
MOST_DIGITS = 300
"""Of a number that is taken for one: with some more it is no float any longer."""
_PROGRAM = "kernel_harness.tools.workloads.costs.counting"


class Sizes(NamedTuple):
    """What the work of is to be counted: all axes, and what is known of the values of inputs."""

    axes: Mapping[str, int]
    structure: Mapping[str, Any] | None


def counted_costs(file: Path, asked: Sequence[Sizes]) -> list[Cost | DatasetError]:
    """The work of each size in turn, or why it was not counted."""
    sizes = json.dumps([{"axes": dict(one.axes), "structure": one.structure} for one in asked])
    text, ended = _said(file, sizes)
    found: dict[int, Cost | str] = {}
    for said in _lines(text):
        if "unloaded" in said:
            why = f"It cannot be imported: {said['unloaded']}"
            return [DatasetError(why, where=str(file))] * len(asked)
        # One that forks and goes on twice says all of it twice.
        found.setdefault(said["number"], _cost(said))
    every = [found.get(number, ended) for number in range(len(asked))]
    return [
        one if isinstance(one, Cost) else _fault(file, sizes.axes, one)
        for sizes, one in zip(asked, every, strict=True)
    ]


def _fault(file: Path, axes: Mapping[str, int], why: str) -> DatasetError:
    fields = ", ".join(one.name for one in dataclasses.fields(Cost))
    return DatasetError(
        f"cost() failed for axes {dict(axes)}: {why}",
        where=str(file),
        remedy=f"It returns a dict whose fields may be {fields}.",
    )


def _said(file: Path, sizes: str) -> tuple[bytes, str]:
    """What the process wrote, and how it ended before it wrote the next line."""
    limits = (str(LIMIT_S), str(MOST_BYTES))
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as said:
        asked.write(sizes.encode())
        asked.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _PROGRAM, str(file), *limits],
            stdin=asked,
            stdout=said,
            stderr=subprocess.DEVNULL,
            env=candidate_environment(),
            start_new_session=True,
        )
        late = False
        try:
            late = process.wait(LIMIT_S + GRACE_S) == -signal.SIGALRM
        except subprocess.TimeoutExpired:
            late = True
        finally:
            with contextlib.suppress(ProcessLookupError):  # with what it left behind
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.seek(0)
        text = said.read(MOST_BYTES)
    return text, f"it had not returned after {LIMIT_S} s" if late else "it ended its process"


def _lines(text: bytes) -> Iterator[dict[str, Any]]:
    """What a process said; not what it did not write to the end, or wrote there besides."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            said = json.loads(line, parse_int=_whole)
            if "unloaded" in said or isinstance(said["number"], int):
                yield said


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= MOST_DIGITS else math.inf


def _cost(said: Mapping[str, Any]) -> Cost | str:
    if "fault" in said:
        return str(said["fault"])
    try:
        return Cost(**said["cost"])
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        return f"{type(error).__name__}: {error}"
