"""The calibration of this machine's device: having it measured, and taking its figures up.

The measuring is trusted GPU code and a process of its own (`tools/judge/calibrate`); here it is
started, and its file found again. Measured figures replace the shipped ones of the same device and
no other.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import anyio
from pydantic import ValidationError

from ..devices.roofline import Calibration, Hardware, identify
from ..errors import CapabilityError, InfrastructureError
from ..settings import Settings
from .runs.runner import Runs

PROCESS = "kernel_harness.tools.judge.calibrate"
TIMEOUT_S = 180.0


def calibration_folder(settings: Settings) -> Path:
    """Where calibrations are kept, one file for each device."""
    return settings.archive_dir / "calibration"


async def calibrate(settings: Settings, device: str, runs: Runs) -> Path:
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
    document = await anyio.to_thread.run_sync(lambda: _document(draft))
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


def with_calibration(hardware: Hardware, folder: Path) -> Hardware:
    """The device with figures measured here in place of shipped ones, where there are any.

    A file of another device, or one that cannot be read, changes nothing.
    """
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        document = _document(path)
        if document is None:
            continue
        facts = document["device"]
        table = {hardware.name: hardware}
        if identify(facts["name"], facts.get("sm_count"), facts.get("memory_mhz"), table) is None:
            continue
        measured = Calibration.model_validate(document["calibration"])
        taken = {n: v for n, v in measured if v is not None and n != "flops"}
        taken["flops"] = {**hardware.calibrated.flops, **measured.flops}
        return hardware.model_copy(
            update={"calibrated": hardware.calibrated.model_copy(update=taken)}
        )
    return hardware


def _document(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        Calibration.model_validate(document["calibration"])
        str(document["device"]["name"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
    return document
