"""The calibration of this machine's device: having it measured, and taking its figures up.

The measuring is trusted GPU code and a process of its own (`tools/judge/calibrate`); here it is
started, and its file found again. Measured figures replace the shipped ones of the same device and
no other.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import anyio

from ..devices.calibration import calibration_folder, read_calibration
from ..errors import CapabilityError, InfrastructureError
from ..settings import Settings
from .runs.tool_run import ProfileRunner

PROCESS = "kernel_harness.tools.judge.calibrate"
TIMEOUT_S = 180.0


async def calibrate(settings: Settings, device: str, runs: ProfileRunner) -> Path:
    """Measures the device, in about a minute; whoever calls holds its lock.

    Args:
        settings: where the result is kept.
        device: 'cuda:N'.
        runs: starts the process, and can kill it.

    Returns:
        The file, with figures, provenance, raw samples and clocks.

    Raises:
        CapabilityError: when there is no GPU.
        InfrastructureError: when the process failed; the text has its last words.
    """
    if device == "cpu":
        raise CapabilityError(
            "There is no GPU to calibrate", remedy="Floors stay at data-sheet rates."
        )
    folder = calibration_folder(settings)
    draft = folder / ".draft.json"
    command = [sys.executable, "-m", PROCESS, "--out", str(draft), "--device", device]
    finished = await runs.execute(command, timeout_s=TIMEOUT_S)
    document = await anyio.to_thread.run_sync(lambda: read_calibration(draft))
    if finished.status != 0 or document is None:
        words = " ".join(finished.output.split())[-400:]
        ended = "did not finish" if finished.timed_out else f"ended with {finished.status}"
        raise InfrastructureError(
            f"The calibration {ended}: {words or 'no words'}",
            where=PROCESS,
            remedy="See that nothing else uses the device, and try again.",
        )
    name = re.sub(r"[^A-Za-z0-9]+", "-", document["device"]["name"]).strip("-").lower()
    return draft.replace(folder / f"{name}.json")
