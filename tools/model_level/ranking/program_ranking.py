"""Starts a program under the profiler, and ranks its operators.

from kernel_harness.tools.model_level.ranking.program_ranking import rank_program

ranking = rank_program(["python", "bench.py"])
ranking.operators[0].name

A server ranks by `rank_in_group`, which can be cancelled and leaves the server's own input alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ...devices.calibration import with_calibration
from ...devices.hardware import identify
from ...errors import DatasetError, RequestError
from ..program import run_python
from ..served_program import run_in_group
from .observations import Observed
from .ranking import ModelRanking, rank

RUNNER = "kernel_harness.tools.model_level.ranking.profiled_run"
WARMUP, STEPS = 2, 5


def rank_program(
    words: Sequence[str],
    *,
    step: str | None = None,
    warmup: int = WARMUP,
    steps: int = STEPS,
    calibration: Path | None = None,
) -> ModelRanking:
    """Runs a program to its end, profiles some of its steps, and ranks what they are made of.

    Args:
        words: an interpreter of Python's, and a file or `-m` and a module, with arguments. What it
            writes goes to standard error.
        step: a function whose calls are the steps; None: the first outermost module's.
        warmup: steps before the first that is timed.
        steps: that are timed, and then as many that are profiled.
        calibration: folder of calibrations, whose figures replace those of the table of devices.

    Raises:
        RequestError: when the program cannot be run, fails, or makes too few steps.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "seen.json")
        run_python(words, RUNNER, _arguments(out, words, step, warmup, steps))
        return _ranked(read_observed(out), warmup, steps, calibration)


async def rank_in_group(
    words: Sequence[str],
    folder: Path,
    *,
    step: str | None = None,
    steps: int = STEPS,
    calibration: Path | None = None,
) -> ModelRanking:
    """Does the same in a process group of its own, which ends when the caller is cancelled.

    Args:
        folder: in which the program is run.

    Raises:
        RequestError: as above, with the program's last words.
    """
    with tempfile.TemporaryDirectory() as place:
        out = Path(place, "seen.json")
        arguments = _arguments(out, words, step, WARMUP, steps)
        await run_in_group(words, RUNNER, arguments, folder)
        return _ranked(read_observed(out), WARMUP, steps, calibration)


def _arguments(
    out: Path, words: Sequence[str], step: str | None, warmup: int, steps: int
) -> list[str]:
    """Those of the runner."""
    return [str(out), step or "", str(warmup), str(steps), *words[1:]]


def _ranked(seen: Observed, warmup: int, steps: int, calibration: Path | None) -> ModelRanking:
    """What was seen of a program, ranked."""
    if not seen.profiled_steps:
        raise RequestError(
            f"The program made {seen.steps_made} steps, and none was left to profile",
            remedy=f"Have it make {warmup + 2 * steps} or more, or lower --warmup and --steps; "
            "--step names a function whose calls are steps.",
        )
    hardware = identify(seen.device, seen.sm_count, None) if seen.device else None
    if hardware is not None and calibration is not None:
        hardware = with_calibration(hardware, calibration)
    return rank(seen, hardware)


def read_observed(path: Path) -> Observed:
    """What a runner wrote.

    Raises:
        DatasetError: when it wrote none.
    """
    try:
        return TypeAdapter(Observed).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(f"Nothing was seen of the program: {error}", where=str(path)) from error
