"""Runs a program again and again, with deployed kernels and without; started by name.

    python -m kernel_harness.tools.model_level.verification.runs.all_runs REQUEST OUT

REQUEST is a file that says what is run, OUT one for what was seen. Each run is a process of its
own, forked after torch is imported and before anything is done with it, so that a run begins as a
program does and takes a second less. The first one times calls, and tells what the program imports
of installed packages; that is imported once for all others. Of those, runs without and with the
kernels take turns.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from ....collecting.user_program import in_place_of
from ....errors import HarnessError
from ...preloading import (
    changed_variables,
    functions_of_modules,
    imported_since,
    preload,
    variables_now,
)
from ...program import FAILED, run_as_main
from ...steps import watch_steps
from ..applications import put
from ..verified_runs import (
    AppliedTarget,
    OutputDrift,
    TimedRun,
    TimedTurn,
    VerifiedRuns,
    VerifyRequest,
)
from .drift import drift_of
from .placed_calls import PlacedSteps, PlacedTarget
from .repeated_calls import timed_calls
from .step_timing import StepTimer

SEED = 0
KEPT_RUNS = 2
"""Pairs whose outputs are kept: the second tells whether a program gives the same ones twice."""


@dataclass(frozen=True)
class CalledRun:
    """What the first run said, in which calls were timed.

    Args:
        functions: of modules, that are replaced or watched.
        imported: modules of installed packages, by the program.
        variables: of the environment that were others in the end.
    """

    device: str | None
    targets: tuple[AppliedTarget, ...]
    turns: tuple[TimedTurn, ...]
    functions: tuple[str, ...]
    imported: tuple[str, ...]
    variables: dict[str, str | None]


def main(arguments: list[str]) -> int:
    """Makes the runs and writes what was seen; returns the exit status."""
    asked, out = arguments
    request = TypeAdapter(VerifyRequest).validate_json(Path(asked).read_bytes())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with _said(f"run 1 of {2 * request.pairs + 1}, for the times of calls"):
            status = _forked(_called, request, folder / "calls")
        status = status or _forked(_preloaded, request, folder / "preloaded")
        if not status and not json.loads((folder / "preloaded.json").read_text("utf-8")):
            status = _in_pairs(request, folder)
        if status:
            return status
        Path(out).write_bytes(_gathered(request, folder))
    return 0


def _called(request: VerifyRequest, out: Path) -> int:
    """One run in which the calls of the kernels' targets are timed, in their places and then alone.

    Each target's calls go to its kernel in some steps and to the original in others.
    """
    known, environment = frozenset(sys.modules), variables_now()
    steps = PlacedSteps(request.warmup)
    placed: list[PlacedTarget] = []

    def prepare() -> None:
        for target in request.targets:
            applied = put(target, Path(request.kernels))
            placed.append(PlacedTarget(target.target, applied, steps))
        watch_steps(request.step, steps)

    if status := run_as_main(request.program, prepare):
        return status
    for one in reversed(placed):
        one.remove()
    functions = functions_of_modules(_names(request))
    device = None
    if torch.cuda.is_initialized():
        device = torch.cuda.get_device_name().removeprefix("NVIDIA ")
    run = CalledRun(
        device,
        tuple(_applied(one, steps) for one in placed),
        tuple(steps.turns),
        tuple(functions),
        tuple(imported_since(known, functions)),
        changed_variables(environment),
    )
    out.with_suffix(".json").write_bytes(TypeAdapter(CalledRun).dump_json(run))
    return 0


def _applied(one: PlacedTarget, steps: PlacedSteps) -> AppliedTarget:
    """What became of a kernel, whose calls are repeated for that."""
    missed: dict[str, int] = {}
    for miss in one.applied.misses.all():
        missed[str(miss.reason)] = missed.get(str(miss.reason), 0) + miss.count
    definition, compiled = one.applied.kernel.definition, one.applied.compiled_calls
    return AppliedTarget(one.name, definition, missed, tuple(timed_calls(one, steps)), compiled)


def _names(request: VerifyRequest) -> list[str]:
    """Dotted names of what is replaced, or watched for steps."""
    return [*(one.target for one in request.targets), *([request.step] if request.step else [])]


def _preloaded(request: VerifyRequest, out: Path) -> int:
    """Makes the runs in pairs after what they import, and says whether it could."""
    first = _called_run(out.parent)
    fit = bool(first.imported)
    if fit:
        what = "what the program imports, for all other runs"
        with _said(what), in_place_of(request.program):
            why = preload(first.imported, first.functions, first.variables)
        if why is not None:
            sys.stderr.write(f"Each of them imports that itself, for {why}.\n")
            fit = False
    status = _in_pairs(request, out.parent) if fit else 0
    out.with_suffix(".json").write_text(json.dumps(fit), encoding="utf-8")
    return status


def _in_pairs(request: VerifyRequest, folder: Path) -> int:
    """Runs the program without the kernels and with them, in turn; returns an exit status."""
    number, runs = 1, 2 * request.pairs + 1
    for pair in range(request.pairs):
        for with_kernels in (False, True) if pair % 2 == 0 else (True, False):
            name = f"{'after' if with_kernels else 'before'}{pair}"
            number += 1
            what = f"run {number} of {runs}, {'with' if with_kernels else 'without'} kernels"
            with _said(what):
                status = _forked(_timed, request, with_kernels, pair, folder / name)
            if status:
                return status
    return 0


def _timed(request: VerifyRequest, with_kernels: bool, pair: int, out: Path) -> int:
    """One run; what it says is in files that begin as `out`."""
    timer = StepTimer(request.warmup, request.steps, keeps=pair < KEPT_RUNS)

    def prepare() -> None:
        if with_kernels:
            for target in request.targets:
                put(target, Path(request.kernels))
        watch_steps(request.step, timer)

    status = run_as_main(request.program, prepare)
    run = TimedRun(tuple(timer.step_ns), tuple(timer.host_ns), status)
    out.with_suffix(".json").write_bytes(TypeAdapter(TimedRun).dump_json(run))
    if pair < KEPT_RUNS:
        torch.save(timer.outputs, out.with_suffix(".pt"))
    return status


def _gathered(request: VerifyRequest, folder: Path) -> bytes:
    """What all runs said."""
    runs = TypeAdapter(TimedRun)
    before, after = (
        tuple(
            runs.validate_json((folder / f"{name}{pair}.json").read_bytes())
            for pair in range(request.pairs)
        )
        for name in ("before", "after")
    )
    first = _called_run(folder)
    repeated = None if request.pairs < KEPT_RUNS else _drift(folder, "before0", "before1")
    found = VerifiedRuns(
        first.device,
        before,
        after,
        _drift(folder, "before0", "after0"),
        repeated,
        first.targets,
        first.turns,
    )
    return TypeAdapter(VerifiedRuns).dump_json(found)


def _called_run(folder: Path) -> CalledRun:
    return TypeAdapter(CalledRun).validate_json((folder / "calls.json").read_bytes())


def _drift(folder: Path, expected: str, got: str) -> OutputDrift:
    one, other = (torch.load(folder / f"{name}.pt") for name in (expected, got))
    return drift_of(one, other)


def _forked(act: Callable[..., int], *arguments: Any) -> int:
    """Calls a function in a process forked from this one; returns its exit status.

    The last argument is a path: what the function says is in files that begin with it.
    """
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_exiting, args=(act, *arguments))
    process.start()
    process.join()
    if process.exitcode == 0 and not arguments[-1].with_suffix(".json").exists():
        sys.stderr.write(
            "The program ended its process by os._exit, before what was seen of it was written. "
            "Have it return, or end by sys.exit.\n"
        )
        return FAILED
    return abs(process.exitcode or 0)


def _exiting(act: Callable[..., int], *arguments: Any) -> None:
    torch.manual_seed(SEED)
    random.seed(SEED)
    if (numpy := sys.modules.get("numpy")) is not None:  # torch imports it where it is installed
        numpy.random.seed(SEED)
    try:
        status = act(*arguments)
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        status = FAILED
    sys.exit(status)


@contextlib.contextmanager
def _said(what: str) -> Iterator[None]:
    """Says on standard error what was run, and for how long: minutes may pass until the answer."""
    begin = time.monotonic()
    yield
    sys.stderr.write(f"{what}: {time.monotonic() - begin:.1f} s\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
