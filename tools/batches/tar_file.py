"""Tar files of plain files under known names, whoever wrote them.

Nothing is decompressed, no link, device or sparse file is followed or made, and no name leads out
of the folder that is written to: what is not expected is refused before anything is read.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..errors import DatasetError, RequestError

JOB_FILE, RESULTS_FILE = "job.json", "results.json"
KINDS = {
    JOB_FILE: ("a job", "Carry it out on the other machine: kernel-harness batch run."),
    RESULTS_FILE: ("results", "Merge them where the job was packed: kernel-harness batch merge."),
}
"""What a file is that holds one of these, and what it is for."""
MOST_BYTES = 4 << 30
MOST_FILES = 100_000
_COPIED = 1 << 20


def write_tar(file: Path, members: Iterable[tuple[str, Path | bytes]]) -> Path:
    """Writes files or bytes under their names; a reader sees the whole file or none.

    Raises:
        RequestError: when no file can be there.
    """
    require_place(file)
    draft = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as tar:
            for name, content in members:
                _add(tar, name, content)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return file


def require_place(file: Path) -> None:
    """Refuses a place where no file can be written, best before the work that it is to hold.

    Raises:
        RequestError: with the reason.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        why = "it is a folder" if file.is_dir() else ""
        why = why or ("" if os.access(file.parent, os.W_OK) else "its folder is not yours")
    except OSError as error:
        why = str(error.strerror)
    if why:
        raise RequestError(
            f"No file can be written there: {why}", where=str(file), remedy="Name a file."
        )


def _add(tar: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    if isinstance(content, bytes):
        from io import BytesIO

        info.size = len(content)
        tar.addfile(info, BytesIO(content))
        return
    with content.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        tar.addfile(info, file)


def extract(file: Path, folder: Path, names: re.Pattern[str]) -> list[str]:
    """Writes a tar file's members below a folder; returns their names.

    Args:
        names: that members may have, as a whole.

    Raises:
        DatasetError: when it is none, or holds anything else; nothing of it is to be used then.
    """
    found: list[str] = []
    try:
        if not file.exists():
            raise DatasetError(
                "There is no such file", where=str(file), remedy="Name one that is here."
            )
        if not file.is_file():
            raise _refused(file, "it is no file")  # a pipe would be waited for
        size = file.stat().st_size
        if size > MOST_BYTES:
            raise _refused(file, f"it has {size} bytes; {MOST_BYTES} are the most")
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                name = _checked(file, member, names)
                if name in found[-1:] or (folder / name).exists():
                    raise _refused(file, f"it holds {name!r} twice")
                found.append(name)
                if len(found) > MOST_FILES:
                    raise _refused(file, f"it holds more than {MOST_FILES} files")
                _write(tar, member, folder / name)
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise _refused(file, getattr(error, "strerror", None) or str(error)) from error
    return found


def _checked(file: Path, member: tarfile.TarInfo, names: re.Pattern[str]) -> str:
    name = member.name
    path = PurePosixPath(name)
    if name in KINDS and not names.fullmatch(name):
        what, remedy = KINDS[name]
        raise DatasetError(f"The file holds {what}", where=str(file), remedy=remedy)
    if not names.fullmatch(name) or path.is_absolute() or ".." in path.parts:
        raise _refused(file, f"{name[:200]!r} is none of the files that it may hold")
    if not member.isreg() or member.issparse():
        raise _refused(file, f"{name!r} is no plain file")
    return name


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with target.open("xb") as out:
        while left > 0:
            piece = source.read(min(left, _COPIED))
            if not piece:
                raise EOFError("it ends too soon")
            out.write(piece)
            left -= len(piece)


def _refused(file: Path, why: str) -> DatasetError:
    return DatasetError(
        f"The file cannot be used: {why}",
        where=str(file),
        remedy="Take it again from the machine that wrote it.",
    )
