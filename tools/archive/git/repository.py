"""Git plumbing on the archive's bare repository: objects first, then a compare-and-swap on a ref.

Knows nothing of candidates. There is no work tree and no index, so nothing is locked between agents
but the one ref that is being written; a process killed at any moment leaves at most objects that no
ref names. What it cannot promise: that objects survive a power cut in the same second, which git
itself does not promise either.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from ...errors import ArchiveError
from .commands import Commands
from .objects import (
    MOST_BYTES,
    ObjectReader,
    Sign,
    entry_fault,
    tree_entries,
    tree_entry,
    with_signature,
)
from .packing import Packing
from .ref_writer import RefWriter, remove_stale_locks

ZERO = "0" * 40
_WRITES = 20
_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
_CONFIG = """[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\thooksPath = /dev/null
\tlogAllRefUpdates = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[receive]
\tautogc = false
\tfsckObjects = true
[fetch]
\tfsckObjects = true
"""


@dataclass(frozen=True)
class RefUpdate:
    """A change of one ref; with `old` all zeros the ref must not exist."""

    ref: str
    new: str
    old: str = ZERO


class RefConflict(ArchiveError):
    """Raised when a ref was not where the writer thought it was."""


class Repository(Commands):
    """A bare git repository, created on first write."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.RLock()
        self._reader = ObjectReader(lambda: self.start("cat-file", ["--batch"], subprocess.PIPE))
        self._ref_writer = RefWriter(self)
        self._loose: Any = None
        self.packing = Packing(self)
        self._packed_refs: tuple[str, dict[str, dict[str, str]]] = ("", {})

    @property
    def exists(self) -> bool:
        """Whether anything was ever written."""
        return (self.path / "HEAD").is_file()

    def create(self) -> None:
        """Makes the repository if there is none; two processes may do so at once."""
        if self.exists:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".repository-", dir=self.path.parent))
        for folder in ("objects/pack", "objects/info", "refs/heads", "refs/tags", "info"):
            (draft / folder).mkdir(parents=True)
        (draft / "config").write_text(_CONFIG, encoding="utf-8")
        (draft / "description").write_text("kernel-harness archive\n", encoding="utf-8")
        (draft / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
        draft.chmod(0o755)
        try:
            draft.rename(self.path)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if not self.exists:
                raise

    def close(self) -> None:
        """Ends the processes that read objects and change refs."""
        with self._lock:
            self._reader.close()
        self._ref_writer.close()

    # --- objects ------------------------------------------------------------------------------

    def write_object(self, kind: str, content: bytes) -> str:
        """Stores one object and returns its id; storing it twice is harmless.

        Raises:
            ArchiveError: when it cannot be written.
        """
        with self._lock:
            if self._loose is None:
                from gitdb.db import LooseObjectDB

                self._loose = LooseObjectDB(str(self.path / "objects"))
        oid = self._stored(kind, content)
        with contextlib.suppress(OSError):  # one that was there stays as if it were written now
            os.utime(self.path / "objects" / oid[:2] / oid[2:])
        return oid

    def _stored(self, kind: str, content: bytes) -> str:
        """Writes an object; again where git packed the last one of its folder and removed that."""
        from gitdb.base import IStream

        said = ""
        for _ in range(_WRITES):
            try:
                stream = IStream(kind, len(content), BytesIO(content))
                return self._loose.store(stream).hexsha.decode()
            except FileNotFoundError as error:
                said, draft = error.strerror, Path(error.filename or "")
                if draft.parent == self.path / "objects":  # an object itself is never removed
                    draft.unlink(missing_ok=True)
        raise ArchiveError(
            f"An object cannot be written: {said}",
            where=str(self.path / "objects"),
            remedy="See whether the folder is there and can be written to.",
        )

    def write_tree(self, files: Mapping[str, bytes]) -> str:
        """Stores files by path as blobs and trees; returns the root tree's id."""
        entries: list[tuple[bytes, bytes]] = []
        folders: dict[str, dict[str, bytes]] = {}
        for path, content in files.items():
            head, separator, rest = path.partition("/")
            if separator:
                folders.setdefault(head, {})[rest] = content
            else:
                blob = self.write_object("blob", content)
                entries.append((head.encode(), tree_entry(b"100644", head, blob)))
        for name, inner in folders.items():
            entry = tree_entry(b"40000", name, self.write_tree(inner))
            entries.append((name.encode() + b"/", entry))
        return self.write_object("tree", b"".join(entry for _, entry in sorted(entries)))

    def write_commit(
        self, tree: str, parents: Sequence[str], message: str, at: int, sign: Sign | None = None
    ) -> str:
        """Stores a commit; see `commit_content`."""
        return self.write_object("commit", self.commit_content(tree, parents, message, at, sign))

    def commit_content(
        self, tree: str, parents: Sequence[str], message: str, at: int, sign: Sign | None = None
    ) -> bytes:
        """A commit dated `at` (seconds since the epoch, UTC), signed if `sign` is given."""
        who = self._who(at)
        head = [f"tree {tree}", *(f"parent {p}" for p in parents), f"author {who}"]
        text = "\n".join([*head, f"committer {who}"]) + f"\n\n{message}"
        return with_signature(text.encode(), sign)

    def write_tag(
        self, commit: str, name: str, message: str, at: int, sign: Sign | None = None
    ) -> str:
        """Stores an annotated tag object that names a commit, signed if `sign` is given."""
        head = f"object {commit}\ntype commit\ntag {name}\ntagger {self._who(at)}"
        return self.write_object("tag", with_signature(f"{head}\n\n{message}".encode(), sign))

    def _who(self, at: int) -> str:
        identity = self.user_configuration().identity
        name, email = ("".join(c for c in part if c not in "<>\n\0") for part in identity)
        return f"{name} <{email}> {at} +0000"

    def read(self, name: str, most: int = MOST_BYTES) -> tuple[str, bytes]:
        """The kind and content of an object, e.g. "<commit>:evaluation.json".

        Raises:
            ArchiveError: when there is no such object, or it has more than `most` bytes.
        """
        try:
            with self._lock:
                try:
                    return self._reader.read(name, most)
                except OSError:  # a damaged object ended the helper: that one was at fault
                    return self._reader.read(name, most)
        except (ValueError, OSError) as error:
            raise ArchiveError(
                f"The archive has no object {name!r}",
                where=str(self.path),
                remedy="If the candidate is listed, run git fsck and rebuild the index.",
            ) from error

    def list_tree(self, name: str) -> dict[str, str]:
        """Paths of all files below a tree or commit, with the ids of their blobs.

        Raises:
            ArchiveError: when it holds what no harness writes: links, submodules, names of git's
                own, too many files or levels.
        """
        kind, _ = self.read(name)
        found: dict[str, str] = {}
        folders = [("", name if kind == "tree" else f"{name}^{{tree}}")]
        entries = 0
        while folders:
            prefix, tree = folders.pop()
            kind, content = self.read(tree)
            for mode, part, oid in tree_entries(content) if kind == "tree" else ():
                entries += 1
                fault = entry_fault(mode, part, prefix.count("/"), entries)
                if fault is not None:
                    raise ArchiveError(
                        f"The tree of {name[:12]} holds {fault}",
                        where=str(self.path),
                        remedy="No harness writes such a tree; delete its ref: git update-ref -d.",
                    )
                path = prefix + part.decode("utf-8", "surrogateescape")
                if mode == b"40000":
                    folders.append((f"{path}/", oid))
                else:
                    found[path] = oid
        return found

    # --- refs ---------------------------------------------------------------------------------

    def refs(self, namespace: str) -> dict[str, str]:
        """Refs below `namespace` with the ids that they hold, tags unpeeled; asks no object."""
        # Packing writes the file before it removes what is loose: read in that order, all is seen.
        loose = self._held_loose(self.loose_names(namespace))
        return self._packed(namespace) | loose

    def held_by(self, names: Set[str]) -> dict[str, str]:
        """The ids that some refs hold, those that are still there; asks no object."""
        found = self._held_loose(names)
        if len(found) < len(names):
            for name in names - set(found):
                if oid := self._packed("/".join(name.split("/")[:2])).get(name):
                    found[name] = oid
        return found

    def _held_loose(self, names: Iterable[str]) -> dict[str, str]:
        """What refs hold that lie in files of their own."""
        found: dict[str, str] = {}
        for name in names:
            try:
                oid = (self.path / name).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError):
                continue
            if _OBJECT_ID.fullmatch(oid):
                found[name] = oid
        return found

    def resolve(self, ref: str) -> str | None:
        """The commit a ref names, or None."""
        if not self.exists:
            return None
        try:
            return self.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
        except ArchiveError:
            return None

    def update_refs(self, updates: Iterable[RefUpdate]) -> None:
        """Moves all refs or none, each only if it is where `old` says.

        Raises:
            RefConflict: when another process was there first, or holds its lock.
            ArchiveError: when git, or the disk, fails.
        """
        steps = list(updates)
        lines = [f"update {s.ref} {s.new} {s.old}" for s in steps]
        self._change_refs(lines, {s.ref: s.old for s in steps})
        self.packing.note_write()

    def delete_refs(self, refs: Mapping[str, str]) -> None:
        """Removes refs, each only if it still holds the id given; a thousand at once.

        Raises:
            RefConflict: when one of a thousand does not; those are all left.
            ArchiveError: when git, or the disk, fails.
        """
        every = list(refs.items())
        for start in range(0, len(every), 1_000):
            some = dict(every[start : start + 1_000])
            self._change_refs([f"delete {ref} {oid}" for ref, oid in some.items()], some)

    def _change_refs(self, lines: Sequence[str], before: Mapping[str, str]) -> None:
        """Makes all of some changes of refs or none, each only if it holds what it did before."""
        for attempt in range(3):
            try:
                return self._ref_writer.change(lines)
            except ArchiveError as error:
                locked = "File exists" in error.what
                if locked and attempt < 2:
                    self.packing.remove_stale_lock()
                    remove_stale_locks(self.path, before)
                    continue
                held = self.held_by(set(before))
                if not locked and all(held.get(ref, ZERO) == old for ref, old in before.items()):
                    raise  # the disk's fault, or git's: nobody was there first
                raise RefConflict(
                    error.what, where=error.where, remedy="Read the ref again, then decide again."
                ) from error

    def ref_fingerprint(self, *namespaces: str) -> str:
        """A text that changes when a ref below the namespaces appears or goes; a few stats."""
        folders = [folder for name in namespaces for folder, _, _ in os.walk(self.path / name)]
        stats = [_stamp(Path(folder)) for folder in sorted(folders)]
        return ";".join([*stats, _stamp(self.path / "packed-refs")])

    def ref_names(self, namespace: str) -> set[str]:
        """Names of all refs below `namespace`, without reading what they hold."""
        return {*self.loose_names(namespace), *self._packed(namespace)}

    def loose_in(self, folder: str) -> list[str]:
        """Names of the refs in one folder that lie in files of their own."""
        try:
            with os.scandir(self.path / folder) as entries:
                names = [entry.name for entry in entries]
        except OSError:
            return []
        return [f"{folder}/{name}" for name in names if not name.endswith(".lock")]

    def packed_stamp(self) -> str:
        """A text that changes when git packs refs, or removes packed ones."""
        return _stamp(self.path / "packed-refs")

    def packed_names(self, namespace: str) -> Set[str]:
        """Names of the refs below `namespace` that lie in git's one file of packed refs."""
        return self._packed(namespace).keys()

    def loose_names(self, namespace: str) -> list[str]:
        """Names of all refs below `namespace` that lie in files of their own."""
        return [
            f"{inside}/{name}"
            for folder, _, names in os.walk(self.path / namespace)
            if (inside := os.path.relpath(folder, self.path))
            for name in names
            if not name.endswith(".lock")
        ]

    def _packed(self, namespace: str) -> dict[str, str]:
        """Packed refs below a namespace with their ids; the file is read when it changed."""
        stamp = _stamp(self.path / "packed-refs")
        known, parsed = self._packed_refs
        if stamp != known:
            parsed = {}
            self._packed_refs = stamp, parsed
        if namespace not in parsed:
            parsed[namespace] = self._read_packed(f"{namespace}/")
        return parsed[namespace]

    def _read_packed(self, prefix: str) -> dict[str, str]:
        try:
            content = (self.path / "packed-refs").read_bytes()
        except FileNotFoundError:
            return {}
        # Between the first and the last of the namespace, which lie together where it is sorted.
        mark = f" {prefix}".encode()
        first, last = content.find(mark), content.rfind(mark)
        if first < 0:
            return {}
        block = content[max(first - 40, 0) : content.find(b"\n", last) + 1 or None]
        parted = (line.split(" ", 1) for line in block.decode("utf-8", "replace").splitlines())
        return {
            p[1]: p[0]
            for p in parted
            if len(p) == 2 and p[1].startswith(prefix) and _OBJECT_ID.fullmatch(p[0])
        }


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return "-"
    return f"{found.st_mtime_ns}.{found.st_ino}.{found.st_size}"
