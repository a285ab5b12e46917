"""Copies skills and sub-agents into a client's folders, and removes exactly those copies.

The digest of each file written is kept in a receipt in the data folder: a copy that someone has
edited since, or a file of the same name by others, is left alone and named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...tools.errors import InfrastructureError
from ..resources.prompts import ROLES, roles_folder
from ..resources.skills import SkillRegistry
from .registration import Target


@dataclass(frozen=True)
class FileChange:
    """A file to write, or to remove when `content` is None."""

    path: Path
    content: bytes | None

    def __str__(self) -> str:
        return f"{'remove' if self.content is None else 'write'} {self.path}"


@dataclass(frozen=True)
class CopyPlan:
    """Files to write or remove.

    Attributes:
        changes: in the order in which they are made.
        kept: why files are left as they are, a sentence each.
        digests: of every file that is ours afterwards, by its path.
    """

    changes: list[FileChange]
    kept: list[str]
    digests: dict[str, str]


def plan_install(where: Target, skills: SkillRegistry, written: dict[str, str]) -> CopyPlan:
    """Plans the copies; no changes when all are there.

    Args:
        written: digests of what was written before, by path.
    """
    changes, kept, digests = [], [], dict(written)
    for path, content in _copies(where, skills):
        present = path.read_bytes() if path.is_file() else None
        if present == content:
            continue
        if present is not None and digests.get(str(path)) != _digest(present):
            kept.append(f"{path} differs from ours and was not written by us; it is left alone")
            continue
        changes.append(FileChange(path, content))
        digests[str(path)] = _digest(content)
    return CopyPlan(changes, kept, digests)


def plan_uninstall(written: dict[str, str]) -> CopyPlan:
    """Plans the removal of the files written, but for those edited since."""
    changes, kept = [], []
    for name, digest in written.items():
        path = Path(name)
        if not path.is_file():
            continue
        if _digest(path.read_bytes()) == digest:
            changes.append(FileChange(path, None))
        else:
            kept.append(f"{name} was edited since; it is left alone")
    return CopyPlan(changes, kept, {})


def apply(plan: CopyPlan) -> None:
    """Carries a plan out, each file by an atomic rename.

    Raises:
        InfrastructureError: when a file cannot be written; those before it are.
    """
    for change in plan.changes:
        try:
            if change.content is None:
                change.path.unlink(missing_ok=True)
                _remove_empty(change.path.parent)
            else:
                _write(change.path, change.content)
        except OSError as error:
            raise InfrastructureError(
                f"The file cannot be written: {error.strerror}", where=str(change.path)
            ) from error


class Receipts:
    """Digests of the files written for each client and scope, in one file of the data folder.

    Args:
        path: the file; made by the first installation.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, where: Target) -> dict[str, str] | None:
        """Returns the digests noted for a target; None when nothing was installed there."""
        found = self._all().get(str(where.config))
        return None if found is None else found["files"]

    def note(self, where: Target, digests: dict[str, str] | None) -> None:
        """Keeps the digests of a target, or forgets them."""
        known = self._all()
        known.pop(str(where.config), None)
        if digests is not None:
            known[str(where.config)] = {"files": digests}
        _write(self._path, (json.dumps(known, indent=1) + "\n").encode())

    def _all(self) -> dict[str, Any]:
        return json.loads(self._path.read_text("utf-8")) if self._path.is_file() else {}


def _copies(where: Target, skills: SkillRegistry) -> Iterable[tuple[Path, bytes]]:
    for skill, path in skills.files():
        yield where.skills / skill.name / path, (skill.folder / path).read_bytes()
    if where.agents is not None:
        for role in ROLES:
            content = (roles_folder() / f"{role}.md").read_bytes()
            yield where.agents / f"kernel-{role}.md", content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.kernel-harness-part")
    part.write_bytes(content)
    part.replace(path)


def _remove_empty(folder: Path) -> None:
    """Removes folders that a removal left empty, up to the client's own."""
    for parent in (folder, *folder.parents[:3]):
        if parent.name in (".claude", ".agents", ".codex") or any(parent.iterdir()):
            return
        parent.rmdir()
