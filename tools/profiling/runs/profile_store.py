"""Writes and reads profiles: a folder for each solution, workload, tool and device.

A folder holds the full report as text and the record as JSON, which is written last, so that a
folder with a record is complete. Deleting a folder costs only the time to profile again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from ...schema.record_model import RecordModel
from ..diagnosis.stall_samples import StallSamples
from .run_files import Subject

DRIVER_GPUS = Path("/proc/driver/nvidia/gpus")
VERSION = "2"
"""Changes when records change what they hold, so that old ones are not read."""
SAMPLES = "samples.json"

R = TypeVar("R", bound=RecordModel)


@dataclass(frozen=True)
class ProfileStore:
    """The profiles under one data folder."""

    root: Path
    device: str

    def folder(self, kind: str, subject: Subject, uuid: str, how: str) -> Path:
        """The folder of one profile of a workload; it need not exist."""
        parts = [VERSION, kind, subject.content_hash, uuid, how, self.device]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", subject.definition.name)[:60]
        return self.root / f"{kind}-{name}-{digest}"

    def kept(self, folder: Path, name: str, kind: type[R]) -> R | None:
        """Reads a record, or None where there is none that can be read."""
        try:
            return kind.model_validate_json((folder / name).read_bytes())
        except (OSError, ValidationError):
            return None

    def keep(self, folder: Path, name: str, record: RecordModel) -> None:
        """Writes a record; the first reader after it finds the folder complete."""
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{name}.{os.getpid()}"
        draft.write_text(record.model_dump_json(indent=1), encoding="utf-8")
        draft.replace(folder / name)

    def keep_samples(self, subject: Subject, samples: StallSamples) -> None:
        """Writes where the warps of one call waited, for whoever shows the code of it."""
        self.keep(self._samples(subject, samples.uuid), SAMPLES, samples)

    def samples(self, subject: Subject, uuid: str) -> StallSamples | None:
        """Where the warps of the last profiled call on a workload waited; None of none."""
        return self.kept(self._samples(subject, uuid), SAMPLES, StallSamples)

    def _samples(self, subject: Subject, uuid: str) -> Path:
        return self.folder("samples", subject, uuid, "")

    def keep_latest(self, content_hash: str, name: str, record: RecordModel) -> None:
        """Writes the whole profile under its candidate's content hash, for archiving."""
        self.keep(self.root / content_hash[:64], f"{name}.json", record)

    def keep_text(self, folder: Path, name: str, text: str) -> Path:
        """Writes the full report, before its record."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return path


def device_name(device: str, gpus: Path = DRIVER_GPUS) -> str:
    """The device with the driver's names of the machine's GPUs, without starting CUDA."""
    models: set[str] = set()
    for file in sorted(gpus.glob("*/information")) if gpus.is_dir() else ():
        found = re.search(r"^Model:\s*(.+)$", file.read_text("utf-8", "replace"), re.MULTILINE)
        if found:
            models.add(found.group(1).strip())
    return f"{device} {', '.join(sorted(models))}".strip()
