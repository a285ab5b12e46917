"""What a file of evaluations asks for, and its form.

It holds `job.json`, and of operators that do not come with the harness their folders.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field, ValidationError

from ..errors import DatasetError, RequestError
from ..schema.evaluation import Scope
from ..schema.flashinfer_trace import Solution
from ..schema.measurement import Objective
from ..schema.record_model import RecordModel
from ..schema.search.made_by import NOBODY, MadeBy
from .tar_file import JOB_FILE, extract

OPERATORS = "operators"
MOST_JOB_BYTES = 256 << 20
_PART = r"[A-Za-z0-9_+][A-Za-z0-9_.+-]{0,200}"
NAMES = re.compile(rf"{re.escape(JOB_FILE)}|{OPERATORS}(?:/{_PART}){{2,8}}")


class BatchEntry(RecordModel):
    """One evaluation that is asked for."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = ("input_family",)

    solution: str = Field(description="Content hash, among the job's solutions.")
    name: str
    baseline: str | None = Field(default=None, description="Likewise; None: it is timed alone.")
    baseline_on_cpu: str | None = Field(default=None, description="The same without a GPU there.")
    definition: str
    operator: str = Field(description="Digest of what decides a verdict on it.")
    workload_digest: str
    only: list[str] = Field(default_factory=list, description="Workloads; all of the scope if none")
    targets: list[str] = Field(default_factory=list)
    objective: Objective | None = None
    input_family: str = Field(default="", description="That is timed; empty: the one that ranks.")
    started_from: str | None = None
    plan: str | None = None
    made_by: MadeBy = NOBODY


class BatchJob(RecordModel):
    """What is to be evaluated on another machine."""

    job_id: str
    harness: str = Field(description="Version of the harness that packed it.")
    scope: Scope
    profile: bool = Field(default=False, description="Also profile what passes.")
    calibrate: bool = Field(default=False, description="Also measure the device first.")
    solutions: dict[str, Solution]
    entries: list[BatchEntry]


@dataclass(frozen=True)
class UnpackedJob:
    """A job, and the folder of its own operators; None where it brings none."""

    job: BatchJob
    operators: Path | None


def read_job(file: Path, folder: Path) -> UnpackedJob:
    """Unpacks a job into an empty folder and reads it.

    Raises:
        DatasetError: when it is no job.
    """
    extract(file, folder, NAMES)
    return _job_in(folder, file)


def unpacked(file: Path, root: Path) -> UnpackedJob:
    """Unpacks a job below a folder, once for each content: several runs may use it at a time.

    Raises:
        DatasetError: when it is no job.
        RequestError: when there is no such file.
    """
    if not file.is_file():
        raise RequestError("There is no such file", where=str(file))
    with file.open("rb") as content:
        place = root / hashlib.file_digest(content, "sha256").hexdigest()[:16]
    if not place.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=root))
        try:
            read_job(file, draft)
            with contextlib.suppress(OSError):  # another run was first
                draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return _job_in(place, file)


def _job_in(folder: Path, file: Path) -> UnpackedJob:
    place = folder / JOB_FILE
    try:
        if not place.is_file() or place.stat().st_size > MOST_JOB_BYTES:
            raise ValueError(f"it holds no {JOB_FILE} that can be read")
        job = BatchJob.model_validate_json(place.read_bytes())
        _require_whole(job)
    except (OSError, ValueError, ValidationError) as error:
        raise DatasetError(
            f"This is no job: {error}", where=str(file), remedy="Pack it again."
        ) from error
    operators = folder / OPERATORS
    return UnpackedJob(job, operators if operators.is_dir() else None)


def _require_whole(job: BatchJob) -> None:
    """Refuses a job whose solutions are others than it says, or are not there."""
    for digest, solution in job.solutions.items():
        if solution.content_hash() != digest:
            raise ValueError(f"solution {solution.name!r} has other bytes than the job says")
    for entry in job.entries:
        for digest in filter(None, (entry.solution, entry.baseline, entry.baseline_on_cpu)):
            if digest not in job.solutions:
                raise ValueError(f"solution {digest[:12]} of {entry.name!r} is not in it")
