"""Which folders a confined process may read, where the kernel knows only what is allowed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

SECRETS = (
    *(".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".netrc", ".git-credentials"),
    *(".config/gcloud", ".config/gh", ".password-store"),
)
"""Of a user's home: log-ins that no agent needs."""


def readable_but(hidden: Iterable[Path], root: Path = Path("/")) -> list[Path]:
    """Files and folders that hold everything below a root except what is hidden.

    What is made later beside something hidden is not among them.
    """
    return list(_below(root, sorted({Path(os.path.realpath(path)) for path in hidden})))


def _below(folder: Path, hidden: Sequence[Path]) -> Iterator[Path]:
    inside = [path for path in hidden if folder == path or folder in path.parents]
    if not inside:
        yield folder
        return
    if folder in inside:
        return
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        child = folder / name
        if not child.is_symlink():
            yield from _below(child, inside)
