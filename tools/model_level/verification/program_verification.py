"""Runs a program with deployed kernels and without, and compares.

from kernel_harness.tools.model_level.verification.program_verification import verify_program

found = verify_program(["python", "bench.py"], "kernels/", [KernelTarget("layers.rms_norm")])
found.verdict, found.gain, found.interval
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ...errors import DatasetError, RequestError
from ...schema.deployment.kernel_index import INDEX_NAME
from ..program import run_python
from .gains import ModelComparison, compare_runs, steps_of
from .verified_runs import KernelTarget, VerifiedRuns, VerifyRequest

RUNNER = "kernel_harness.tools.model_level.verification.runs.all_runs"
PAIRS, STEPS, WARMUP = 4, 10, 2


def verify_program(
    words: Sequence[str],
    kernels: Path | str,
    targets: Sequence[KernelTarget],
    *,
    step: str | None = None,
    warmup: int = WARMUP,
    steps: int = STEPS,
    pairs: int = PAIRS,
    tolerance: float | None = None,
) -> ModelComparison:
    """Compares a program with kernels to itself without.

    Args:
        words: an interpreter of Python's, and a file or `-m` and a module, with arguments.
        kernels: a folder that `kernel-harness deploy` wrote.
        targets: what its kernels stand for in the program.
        step: a function whose calls are the steps; None: the first outermost module's.
        pairs: of runs, one without and one with the kernels.
        tolerance: relative drift of outputs that is allowed; None: by their type.

    Raises:
        RequestError: when the program cannot be run, fails, or makes no step after warming up.
    """
    _refuse(kernels, targets)
    request = VerifyRequest(
        tuple(words[1:]),
        str(Path(kernels).absolute()),
        tuple(one for n, one in enumerate(targets) if one not in targets[:n]),
        step,
        warmup,
        steps,
        pairs,
    )
    with tempfile.TemporaryDirectory() as folder:
        asked, out = Path(folder, "request.json"), Path(folder, "seen.json")
        asked.write_bytes(TypeAdapter(VerifyRequest).dump_json(request))
        run_python(words, RUNNER, [str(asked), str(out)])
        try:
            runs = TypeAdapter(VerifiedRuns).validate_json(out.read_bytes())
        except (OSError, ValidationError) as error:
            raise DatasetError(f"Nothing was seen of the program: {error}") from error
    if not steps_of(runs.before) or not steps_of(runs.after):
        raise RequestError(
            f"No step was left after {warmup} that warm up",
            remedy="Have the program make more, lower --warmup, or name a function by --step.",
        )
    return compare_runs(runs, tolerance)


def _refuse(kernels: Path | str, targets: Sequence[KernelTarget]) -> None:
    """Refuses what no run is needed to see."""
    if not targets:
        raise RequestError(
            "It is not said whose calls go to the kernels",
            remedy="Give --operator FOLDER, as extract-operator wrote it, or --target "
            "my_package.layers.norm=DEFINITION.",
        )
    for one in targets:
        if one.target.startswith("__main__."):
            raise RequestError(
                f"{one.target!r} is of the file that is started, and not there before it is",
                remedy="Move the function into a module that the file imports, and name it there.",
            )
    if not Path(kernels, INDEX_NAME).is_file():
        # Before the first run, which is without kernels and may take minutes.
        raise RequestError(
            "There are no deployed kernels",
            where=str(kernels),
            remedy="Write the folder with kernel-harness deploy.",
        )
