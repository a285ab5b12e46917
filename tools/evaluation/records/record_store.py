"""The write-once store of evaluations: one JSON file each, on disk before anyone sees it.

It promises that a record, once named, never changes, and that a reader never meets half of one. It
keeps no other index than folders: `by_content/<hash>/<evaluation_id>` finds earlier trials of the
same bytes, and can be rebuilt from the records.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from ...errors import InfrastructureError, RequestError, unknown_name
from ...schema.evaluation import Evaluation
from ...schema.recognition import Recognition

EVALUATION_ID = re.compile(r"^ev-[0-9]{8}-[0-9]{6}-[0-9a-f]{8}$")
LEAST_PART = 6
"""Characters of an id that are enough to look for it."""


def new_evaluation_id() -> str:
    """An unguessable id that sorts by time, e.g. 'ev-20261120-221530-9f3a61c2'."""
    return f"ev-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


class RecordStore:
    """Evaluations in a folder that is created on the first write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, evaluation: Evaluation) -> Path:
        """Writes a record once, fsynced, and links it by its content.

        Raises:
            InfrastructureError: when the disk refuses.
            RequestError: when a record of that id exists already.
        """
        path = self._path(evaluation.evaluation_id)
        temporary = path.with_suffix(f".{secrets.token_hex(4)}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as file:
                file.write(evaluation.model_dump_json(indent=1))
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)  # unlike rename, link never overwrites
            by_content = self._folder / "by_content" / evaluation.content_hash[:64]
            by_content.mkdir(parents=True, exist_ok=True)
            (by_content / evaluation.evaluation_id).touch()
        except FileExistsError as error:
            raise RequestError(
                f"Evaluation {evaluation.evaluation_id} is recorded already",
                remedy="Records never change; evaluate again for a new one.",
            ) from error
        except OSError as error:
            raise InfrastructureError(
                f"The record could not be written: {error.strerror}",
                where=str(self._folder),
                remedy="Free disk space or correct the folder's permissions, then evaluate again.",
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def resolve(self, named: str) -> str:
        """The id that an id, a record's address, or a unique beginning or end of an id means.

        Raises:
            RequestError: when several records fit. What fits nothing comes back as it is.
        """
        text = named.strip().rstrip("/").rpartition("/")[2]
        if len(text) < LEAST_PART or EVALUATION_ID.match(text):
            return text
        found = [known for known in self.ids() if known.startswith(text) or known.endswith(text)]
        if len(found) > 1:
            raise RequestError(
                f"Evaluation {named!r} is ambiguous", remedy=f"Say which: {', '.join(found[-8:])}."
            )
        return found[0] if found else text

    def has(self, evaluation_id: str) -> bool:
        """Whether there is a record of that id."""
        return (
            EVALUATION_ID.match(evaluation_id) is not None and self._path(evaluation_id).is_file()
        )

    def get(self, evaluation_id: str) -> Evaluation:
        """Reads one record.

        Raises:
            RequestError: when there is none of that id.
            InfrastructureError: when the file cannot be read as a record.
        """
        path = self._path(evaluation_id)
        if not path.is_file():
            raise unknown_name("evaluation", evaluation_id, list(self.ids())[-200:])
        try:
            return Evaluation.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise InfrastructureError(
                f"Record {evaluation_id} cannot be read", where=str(path)
            ) from error

    def write_recognition(self, evaluation_id: str, recognition: Recognition) -> None:
        """Keeps what the archive knew of an evaluation's program, beside the record."""
        folder = self._folder / "recognised"
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / self._path(evaluation_id).name, recognition.model_dump_json())

    def recognition(self, evaluation_id: str) -> Recognition:
        """What `write_recognition` kept; empty where it kept nothing that can be read."""
        path = self._folder / "recognised" / self._path(evaluation_id).name
        try:
            return Recognition.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return Recognition()

    def ids(self) -> Iterator[str]:
        """Every record's id, oldest first."""
        yield from sorted(p.stem for p in self._folder.glob("ev-*.json"))

    def of_content(self, content_hash: str) -> list[str]:
        """Ids of the trials of these very bytes, newest first."""
        folder = self._folder / "by_content" / content_hash[:64]
        if not folder.is_dir():
            return []
        return sorted((p.name for p in folder.iterdir()), reverse=True)

    def of_program(self, program: str) -> list[str]:
        """Ids of the trials of a program, whatever its comments: what was recognised names it."""
        names = sorted((self._folder / "recognised").glob("ev-*.json"), reverse=True)
        return [p.stem for p in names if program and self.recognition(p.stem).program == program]

    def _path(self, evaluation_id: str) -> Path:
        if not EVALUATION_ID.match(evaluation_id):
            raise RequestError(
                f"{evaluation_id!r} is no evaluation id",
                remedy="Ids look like ev-20261120-221530-9f3a61c2; evaluate_kernel returns them.",
            )
        return self._folder / f"{evaluation_id}.json"


def replace_file(path: Path, text: str) -> None:
    """Writes a file at once: a reader sees the old text or the new."""
    temporary = path.with_suffix(f".{secrets.token_hex(4)}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
