"""The form of a file of results, signed as a whole by the machine that made it.

It holds `results.json`, the signed records, a bundle of their trials, profiles and calibrations. Of
each other file `results.json` has the digest, so that its signature is theirs.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pydantic import Field, ValidationError

from ..errors import DatasetError, RequestError
from ..schema.record_model import RecordModel
from ..signing.keyring import Keyring, Verification
from ..signing.signature import BATCH, canonical
from .tar_file import RESULTS_FILE, extract

EVALUATIONS, PROFILES, CALIBRATION = "evaluations", "profiles", "calibration"
TRIALS_FILE = "trials.bundle"
MOST_RESULTS_BYTES = 64 << 20
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}"
NAMES = re.compile(
    rf"{re.escape(RESULTS_FILE)}|{re.escape(TRIALS_FILE)}"
    rf"|{EVALUATIONS}/ev-[0-9]{{8}}-[0-9]{{6}}-[0-9a-f]{{8}}\.json"
    rf"|{PROFILES}/{_PART}/{_PART}|{CALIBRATION}/{_PART}\.json"
)


class BatchResults(RecordModel):
    """What came of a job on one machine."""

    job_id: str
    harness: str = Field(description="Version of the harness that ran it.")
    device: str
    evaluations: dict[str, str] = Field(description="Name of each candidate by its evaluation.")
    not_run: dict[str, str] = Field(default_factory=dict, description="By candidate, why.")
    files: dict[str, str] = Field(description="sha256 of every other file, by its name.")
    signature: str | None = None

    def signed(self, keys: Keyring) -> BatchResults:
        """The same with this machine's signature; without one where it has no key."""
        return self.model_copy(update={"signature": keys.sign(BATCH, canonical(self))})

    def verify(self, keys: Keyring) -> Verification:
        """What its signature is worth here."""
        return keys.verify(self.signature, BATCH, canonical(self))


def digest_of(content: Path | bytes) -> str:
    """The sha256 of a file or of bytes."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_results(file: Path, folder: Path, keys: Keyring) -> BatchResults:
    """Unpacks results into an empty folder, whole and signed by a key that counts here.

    Raises:
        DatasetError: when the file is none, or was changed.
        RequestError: when its key does not count here.
    """
    names = set(extract(file, folder, NAMES)) - {RESULTS_FILE}
    place = folder / RESULTS_FILE
    try:
        if not place.is_file() or place.stat().st_size > MOST_RESULTS_BYTES:
            raise ValueError(f"it holds no {RESULTS_FILE} that can be read")
        results = BatchResults.model_validate_json(place.read_bytes())
    except (OSError, ValueError, ValidationError) as error:
        raise DatasetError(f"These are no results: {error}", where=str(file)) from error
    verification = results.verify(keys)
    if not verification.counts:
        raise RequestError(
            f"The results do not count here: {verification.words}",
            where=str(file),
            remedy="If it is a machine of yours: `kernel-harness trust KEY` here, with the key "
            "that `kernel-harness trust` prints there; then merge again.",
        )
    changed = [n for n in names if results.files.get(n) != digest_of(folder / n)]
    if changed or names != set(results.files):
        odd = sorted(changed or names ^ set(results.files))[0]
        raise DatasetError(
            f"The results were changed after they were signed: {odd}",
            where=str(file),
            remedy="Take the file again from the machine that wrote it.",
        )
    return results
