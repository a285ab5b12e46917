"""Starts the process that measures a device's rates, and keeps its file.

Measuring is trusted GPU code in a process of its own, `tools/judge/calibrate`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from pathlib import Path

import anyio

from ..devices.calibration import calibration_file, calibration_folder, read_calibration
from ..devices.measurements import Microbenchmark, merged
from ..errors import InfrastructureError
from ..settings import Settings
from .runs.tool_run import ProfileRunner

PROCESS = "kernel_harness.tools.judge.calibrate"
TIMEOUT_S = 180.0


async def run_calibration(
    settings: Settings,
    device: str,
    runner: ProfileRunner,
    what: Collection[Microbenchmark] = tuple(Microbenchmark),
) -> Path:
    """Measures the device, in under a minute; the caller holds its lock.

    Args:
        what: the microbenchmarks to run; figures of others are kept where they still hold.

    Returns:
        The file, with figures, provenance, raw samples and clocks.

    Raises:
        InfrastructureError: when the process failed; the text ends with what it printed last.
    """
    folder = calibration_folder(settings)
    draft = folder / ".draft.json"
    command = [sys.executable, "-P", "-m", PROCESS, "--out", str(draft), "--device", device]
    finished = await runner.execute([*command, "--what", *what], timeout_s=TIMEOUT_S)
    document = await anyio.to_thread.run_sync(lambda: read_calibration(draft))
    if finished.status != 0 or document is None:
        words = " ".join(finished.output.split())[-400:]
        ended = "did not finish" if finished.timed_out else f"ended with {finished.status}"
        raise InfrastructureError(
            f"The calibration {ended}: {words or 'it printed nothing'}",
            where=PROCESS,
            remedy="See that nothing else uses the device, and try again.",
        )
    path = calibration_file(settings, document["device"]["name"])
    before = await anyio.to_thread.run_sync(lambda: read_calibration(path))
    draft.write_text(json.dumps(merged(before, document), indent=1), encoding="utf-8")
    return draft.replace(path)
