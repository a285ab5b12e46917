"""The files of an operator that decide a verdict, carried to a node, and those of reports from it.

Solutions stay: what is judged and what it is compared with are in the plan. A FlashInfer-Trace
dataset is not carried, for its tensors may be large: it lies at the same place on every node.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import InfrastructureError, RequestError

MOST_BYTES = 64 << 20
MOST_ANSWER_BYTES = 512 << 20
_LEFT = ("solutions", "peers", "candidates", "__pycache__", "history.bundle")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}(?:/[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}){0,6}")
Files = dict[str, bytes]


def files_of(folder: Path) -> Files:
    """The files of an operator's folder, by their names in it.

    Raises:
        RequestError: when they are too large to carry.
    """
    found: Files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] in _LEFT or "__pycache__" in relative.parts or not path.is_file():
            continue
        if _NAME.fullmatch(relative.as_posix()):
            found[relative.as_posix()] = path.read_bytes()
    if sum(map(len, found.values())) > MOST_BYTES:
        raise RequestError(
            f"The operator has more than {MOST_BYTES >> 20} MiB of files",
            where=str(folder),
            remedy="Keep tensors in a FlashInfer-Trace dataset that every node sees.",
        )
    return found


def digest_of(files: Files) -> str:
    """A digest of all names and contents."""
    state = hashlib.sha256()
    for name, content in sorted(files.items()):
        for part in (name.encode(), content):
            state.update(len(part).to_bytes(8, "big") + part)
    return state.hexdigest()[:32]


def files_below(folder: Path) -> Files:
    """The contents of all files below a folder, by their names in it."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def write_below(folder: Path, files: Files, within: Sequence[str] = ()) -> None:
    """Writes what a node found below a folder.

    Args:
        within: the folders in it that may be written to; any if empty.

    Raises:
        InfrastructureError: when a name leads elsewhere, or there is more than is carried.
    """
    if sum(map(len, files.values())) > MOST_ANSWER_BYTES:
        raise InfrastructureError(f"A node answered with more than {MOST_ANSWER_BYTES >> 20} MiB")
    for name, content in files.items():
        if not _NAME.fullmatch(name) or (within and name.partition("/")[0] not in within):
            raise InfrastructureError(f"A node's file cannot be called {name[:200]!r}")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(content)
        draft.replace(path)


def lay_out(files: Files, name: str, root: Path) -> Path:
    """Writes an operator's files below a folder, once for each content; returns their folder.

    Raises:
        InfrastructureError: when a name leads elsewhere, or the disk refuses.
    """
    place = root / digest_of(files)
    target = place / re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    if target.is_dir():
        return target
    bad = next((one for one in files if not _NAME.fullmatch(one)), None)
    if bad is not None:
        raise InfrastructureError(f"An operator's file cannot be called {bad[:200]!r}")
    root.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=root))
    for one, content in files.items():
        path = draft / target.name / one
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    try:
        os.rename(draft, place)
    except OSError:  # another actor of the node was first
        shutil.rmtree(draft, ignore_errors=True)
        if not target.is_dir():
            raise
    return target
