"""What an archive held before anything in it was signed.

The list is written once, when this version first opens an archive: commits, tags and records that
are there by then count as before, and are marked. Anything unsigned that comes later does not
count. The list lies beside the private key, out of reach of candidates.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel


@dataclass(frozen=True)
class UnsignedObjects:
    """Ids of commits and tags, and hashes of records, from before the first signature."""

    objects: frozenset[str] = frozenset()
    records: frozenset[str] = frozenset()

    def holds(self, record: BaseModel) -> bool:
        """Whether this very record is one of them."""
        return (
            bool(self.records)
            and _digest(record.model_dump_json(indent=1).encode()) in self.records
        )


def list_file(folder: Path, archive: Path) -> Path:
    """Where the list of an archive lies, below the folder of the private key."""
    return (
        folder / "unsigned" / f"{hashlib.sha256(str(archive.resolve()).encode()).hexdigest()}.json"
    )


def read_list(file: Path) -> UnsignedObjects:
    """The list as it was written; an empty one when it cannot be read."""
    try:
        said = json.loads(file.read_bytes())
        return UnsignedObjects(frozenset(said["objects"]), frozenset(said["records"]))
    except (OSError, ValueError, KeyError, TypeError):
        return UnsignedObjects()


def write_list_once(
    file: Path, archive: Path, objects: Callable[[], Iterable[str]], records: Path
) -> bool:
    """Writes the list unless there is one; returns whether there is one now.

    Args:
        objects: ids of the commits and tags in the archive.
        records: folder of the evaluations' records.
    """
    if file.exists():
        return True
    found = {
        "archive": str(archive),
        "objects": sorted(objects()),
        "records": sorted(filter(None, map(_digest_of, records.glob("ev-*.json")))),
    }
    temporary = file.with_name(f".{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text(json.dumps(found, indent=0), encoding="utf-8")
        os.link(temporary, file)  # unlike rename, link never overwrites
    except FileExistsError:
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return True


def _digest_of(file: Path) -> str:
    """The hash of a record's file; empty when it cannot be read."""
    with contextlib.suppress(OSError):
        return _digest(file.read_bytes())
    return ""


def _digest(record: bytes) -> str:
    return hashlib.sha256(record.rstrip(b"\n")).hexdigest()
