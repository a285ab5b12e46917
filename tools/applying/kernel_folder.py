"""A folder that `kernel-harness deploy` wrote, every byte of it checked before any is used.

What is loaded later is what was read here, from a copy that only this user may write: a file that
changes after the check changes nothing. The digest of the index tells whether two folders are the
same; whoever may write the folder may write a new index, so a program that must know compares the
digest with one that it keeps elsewhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import DatasetError, unknown_name
from ..schema.deployment.kernel_index import (
    INDEX_NAME,
    IndexedKernel,
    KernelIndex,
    digest_of_bytes,
    read_index,
)

MOST_BYTES = 1 << 30
_REMEDY = "Write the folder anew with kernel-harness deploy."


@dataclass(frozen=True)
class KernelFolder:
    """A checked folder: its index, and the content of every file by its path."""

    folder: Path
    index: KernelIndex
    contents: dict[str, bytes]

    def kernel(self, definition: str | None) -> IndexedKernel:
        """The kernel of a definition; of the only one when none is named.

        Raises:
            RequestError: when there is none of that name, or there are several and none is named.
        """
        names = [kernel.definition for kernel in self.index.kernels]
        if definition is None and len(names) == 1:
            return self.index.kernels[0]
        if definition not in names:
            raise unknown_name("kernel of the folder", definition or "", names)
        return self.index.kernels[names.index(definition)]

    def within(self, folder: str) -> Iterator[tuple[str, bytes]]:
        """Paths below a folder of it, and their contents."""
        for path, content in self.contents.items():
            if path.startswith(f"{folder}/"):
                yield path.removeprefix(f"{folder}/"), content


def open_folder(folder: Path, digest: str | None = None) -> KernelFolder:
    """Reads a folder whole and checks it against its index.

    Args:
        folder: written by `kernel-harness deploy`.
        digest: that the index must have, as deploy said it; None takes any.

    Raises:
        DatasetError: when the index is none or another, or a file was changed, added or removed.
    """
    try:
        index = read_index(_read(folder / INDEX_NAME).decode())
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"The index cannot be used: {error}", where=str(folder / INDEX_NAME), remedy=_REMEDY
        ) from error
    if digest is not None and digest != index.digest:
        raise DatasetError(
            f"The index is another than the one asked for: {index.digest}, not {digest}",
            where=str(folder),
            remedy="Deploy again and take the digest that deploy says, or find out who changed it.",
        )
    there = set(_files(folder)) - {INDEX_NAME}
    strange, missing = sorted(there - index.files.keys()), sorted(index.files.keys() - there)
    if strange or missing:
        words = f"a file that the index does not name: {strange[0]}" if strange else ""
        words = words or f"no file {missing[0]}, which the index names"
        raise DatasetError(f"The folder holds {words}", where=str(folder), remedy=_REMEDY)
    contents: dict[str, bytes] = {}
    for path, expected in index.files.items():
        try:
            contents[path] = _read(folder / path)
        except OSError as error:
            raise DatasetError(
                f"A file cannot be read: {error.strerror}", where=path, remedy=_REMEDY
            ) from error
        if digest_of_bytes(contents[path]) != expected:
            raise DatasetError(
                "A file was changed after it was deployed", where=path, remedy=_REMEDY
            )
    return KernelFolder(folder, index, contents)


def _files(folder: Path) -> Iterator[str]:
    """Paths of all that lies in the folder and is no folder; links count as what they are."""
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in (*files, *links):
            yield PurePosixPath(Path(place, name).relative_to(folder)).as_posix()


def _read(path: Path) -> bytes:
    """The content of a regular file that is no link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MOST_BYTES:
            raise OSError(0, "it is no regular file of ordinary size")
        return file.read()
