"""Brings results into this machine's records and archive, as if they had been judged here.

Only what a key that counts here signed comes in, and nothing that is here is replaced. Merging the
same file again changes nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..archive.store.transfer import fetch
from ..devices.calibration import calibration_folder
from ..errors import HarnessError, RequestError
from ..evaluation.records.record_store import RecordStore
from ..schema.evaluation import Evaluation
from .results import CALIBRATION, EVALUATIONS, PROFILES, TRIALS_FILE, BatchResults, read_results

if TYPE_CHECKING:
    from ..harness import Harness

REMOTE = "batch"
"""What fetched refs are filed under."""


@dataclass
class Merged:
    """What came in.

    Attributes:
        evaluations: new records.
        known: ids of records that were here.
        refused: by id, why a record did not come in.
        notes: of what came in, what is worth knowing.
    """

    results: BatchResults
    evaluations: list[Evaluation] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    trials: int = 0
    profiles: int = 0
    calibrations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def merge(harness: Harness, file: Path) -> Merged:
    """Merges a file of results.

    Raises:
        DatasetError: when it is none, or was changed; then nothing comes in.
        RequestError: when its key does not count here; likewise.
    """
    with tempfile.TemporaryDirectory(prefix="kernel-harness-merge-") as name:
        folder = Path(name)
        merged = Merged(read_results(file, folder, harness.keys))
        for path in sorted((folder / EVALUATIONS).glob("*.json")):
            _merge_record(harness, path, merged)
        bundle = folder / TRIALS_FILE
        if bundle.is_file():
            merged.trials = fetch(harness.archive, str(bundle), REMOTE, trials=True).trials
        _merge_files(harness, folder, merged)
    return merged


def _merge_record(harness: Harness, path: Path, merged: Merged) -> None:
    identity = path.stem
    try:
        evaluation = Evaluation.model_validate_json(path.read_bytes())
    except (ValidationError, ValueError) as error:
        merged.refused[identity] = f"it is no record: {str(error)[:200]}"
        return
    verification = harness.keys.verify_record(evaluation)
    if evaluation.evaluation_id != identity or not verification.counts:
        merged.refused[identity] = (
            verification.words if not verification.counts else "it says that it is another"
        )
        return
    if harness.records.has(identity):
        same = _same_as_here(harness.records, evaluation)
        if same:
            merged.known.append(identity)
        else:
            merged.refused[identity] = "another record of that id is here"
        return
    harness.records.write(evaluation)
    harness.evaluations.latencies.note(evaluation)
    merged.evaluations.append(evaluation)
    if note := _other_operator(harness, evaluation):
        merged.notes.append(f"{identity}: {note}")


def _same_as_here(records: RecordStore, evaluation: Evaluation) -> bool:
    try:
        return records.get(evaluation.evaluation_id) == evaluation
    except HarnessError:
        return False


def _other_operator(harness: Harness, evaluation: Evaluation) -> str:
    """Why a record does not answer for the operator as it is here; empty where it does."""
    try:
        operator = harness.dataset.operator(evaluation.definition)
    except RequestError:
        return f"there is no operator {evaluation.definition} here"
    same = evaluation.evidence.versions.get("operator") == operator.judged_by()
    if same and evaluation.workload_digest == operator.digest:
        return ""
    return f"{evaluation.definition} is another here: asked for again, it is judged anew"


def _merge_files(harness: Harness, folder: Path, merged: Merged) -> None:
    for path in sorted((folder / PROFILES).glob("*/*")):
        target = harness.settings.profiles_dir / path.parent.name / path.name
        merged.profiles += _copied_if_new(path, target)
    place = calibration_folder(harness.settings)
    for path in sorted((folder / CALIBRATION).glob("*.json")):
        if _copied_if_new(path, place / path.name):
            merged.calibrations.append(path.stem)


def _copied_if_new(source: Path, target: Path) -> bool:
    if target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, draft)
    try:
        os.link(draft, target)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
