"""Git plumbing on the archive's bare repository: objects first, then a compare-and-swap on a ref.

The only file that knows GitPython. Knows nothing of candidates. There is no work tree and no index,
so nothing is locked between agents but the one ref that is being written; a process killed at any
moment leaves at most objects that no ref names. What it cannot promise: that objects survive a
power cut in the same second, which git itself does not promise either.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from ...errors import ArchiveError, CapabilityError

ZERO = "0" * 40
STALE_LOCK_S = 10.0
MOST_LEVELS = 40
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


class Repository:
    """A bare git repository, created on first write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._git: Any = None
        self._loose: Any = None
        self._identity: tuple[str, str] | None = None

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
        """Ends the helper process that reads objects."""
        with self._lock:
            if self._git is not None:
                self._git.clear_cache()

    # --- commands -----------------------------------------------------------------------------

    @property
    def git(self) -> Any:
        """GitPython's command object, bound to this repository whatever the environment says."""
        with self._lock:
            if self._git is None:
                try:
                    from git import Git
                except ImportError as error:
                    raise CapabilityError(
                        "Git cannot be started", where=str(error), remedy="Install git ≥ 2.30."
                    ) from error
                self._git = Git(str(self.path))
                self._git.update_environment(
                    GIT_DIR=str(self.path),
                    GIT_OBJECT_DIRECTORY=str(self.path / "objects"),
                    GIT_NAMESPACE="",
                    GIT_TERMINAL_PROMPT="0",
                    GIT_OPTIONAL_LOCKS="0",
                )
            return self._git

    def run(self, command: str, *arguments: str, stdin: bytes | None = None) -> str:
        """Runs one git command and returns its output.

        Raises:
            ArchiveError: with git's own words when it fails.
        """
        from git.exc import GitCommandError

        words = ["git", command, *arguments]
        try:
            if stdin is None:
                return self.git.execute(words)
            with tempfile.TemporaryFile() as stream:
                stream.write(stdin)
                stream.seek(0)
                return self.git.execute(words, istream=stream)
        except GitCommandError as error:
            said = str(error.stderr or error).strip().removeprefix("stderr: ").strip("' \n")
            raise ArchiveError(
                f"git {command} failed: {said[:600]}",
                where=str(self.path),
                remedy="Look at the repository with plain git; git fsck says whether it is whole.",
            ) from error

    # --- objects ------------------------------------------------------------------------------

    def write_object(self, kind: str, content: bytes) -> str:
        """Stores one object and returns its id; storing it twice is harmless."""
        from gitdb.base import IStream

        with self._lock:
            if self._loose is None:
                from gitdb.db import LooseObjectDB

                self._loose = LooseObjectDB(str(self.path / "objects"))
        stored = self._loose.store(IStream(kind, len(content), BytesIO(content)))
        return stored.hexsha.decode()

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
                entries.append((head.encode(), _entry(b"100644", head, blob)))
        for name, inner in folders.items():
            entry = _entry(b"40000", name, self.write_tree(inner))
            entries.append((name.encode() + b"/", entry))
        return self.write_object("tree", b"".join(entry for _, entry in sorted(entries)))

    def write_commit(self, tree: str, parents: Sequence[str], message: str, at: int) -> str:
        """Stores a commit dated `at` (seconds since the epoch, UTC)."""
        who = self._who(at)
        head = [f"tree {tree}", *(f"parent {p}" for p in parents), f"author {who}"]
        text = "\n".join([*head, f"committer {who}"]) + f"\n\n{message}"
        return self.write_object("commit", text.encode())

    def write_tag(self, commit: str, name: str, message: str, at: int) -> str:
        """Stores an annotated tag object that names a commit."""
        head = f"object {commit}\ntype commit\ntag {name}\ntagger {self._who(at)}"
        return self.write_object("tag", f"{head}\n\n{message}".encode())

    def _who(self, at: int) -> str:
        if self._identity is None:
            name = self._configured("user.name") or "kernel-harness"
            email = self._configured("user.email") or "kernel-harness@localhost"
            self._identity = (name, email)
        name, email = ("".join(c for c in part if c not in "<>\n\0") for part in self._identity)
        return f"{name} <{email}> {at} +0000"

    def _configured(self, key: str) -> str:
        try:
            return self.run("config", "--get", key).strip()
        except ArchiveError:
            return ""

    def read(self, name: str) -> tuple[str, bytes]:
        """The kind and content of an object, e.g. "<commit>:evaluation.json".

        Raises:
            ArchiveError: when there is no such object.
        """
        try:
            if "\n" in name:
                raise ValueError("a line break would be a second question to git")
            with self._lock:
                _, kind, _, content = self.git.get_object_data(name)
        except ValueError as error:
            raise ArchiveError(
                f"The archive has no object {name!r}",
                where=str(self.path),
                remedy="If the candidate is listed, run git fsck and rebuild the index.",
            ) from error
        return kind.decode() if isinstance(kind, bytes) else kind, content

    def list_tree(self, name: str, prefix: str = "") -> dict[str, str]:
        """Paths of all files below a tree or commit, with the ids of their blobs."""
        if prefix.count("/") > MOST_LEVELS:
            raise ArchiveError(
                f"Folders of a commit are nested more than {MOST_LEVELS} deep",
                where=str(self.path),
                remedy="No harness writes such a tree; delete its ref with git update-ref -d.",
            )
        kind, content = self.read(name)
        if kind != "tree":
            kind, content = self.read(f"{name}^{{tree}}")
        found: dict[str, str] = {}
        at = 0
        while at < len(content):
            space, end = content.index(b" ", at), content.index(b"\0", at)
            path = prefix + content[space + 1 : end].decode("utf-8", "surrogateescape")
            oid = content[end + 1 : end + 21].hex()
            if content[at:space] == b"40000":
                found |= self.list_tree(oid, f"{path}/")
            else:
                found[path] = oid
            at = end + 21
        return found

    # --- refs ---------------------------------------------------------------------------------

    def refs(self, *patterns: str) -> dict[str, str]:
        """Refs under the patterns with the commits they name, tags peeled."""
        if not self.exists:
            return {}
        form = "%(refname) %(objectname) %(*objectname)"
        lines = self.run("for-each-ref", f"--format={form}", *patterns).splitlines()
        parted = (line.split(" ") for line in lines)
        return {part[0]: (part[2] if len(part) > 2 and part[2] else part[1]) for part in parted}

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
            RefConflict: when another process was there first.
        """
        steps = list(updates)
        lines = [f"update {step.ref} {step.new} {step.old}" for step in steps]
        script = "\n".join(["start", *lines, "prepare", "commit"]) + "\n"
        for attempt in range(3):
            try:
                self.run("update-ref", "--stdin", stdin=script.encode())
                return
            except ArchiveError as error:
                if "File exists" in error.what and attempt < 2:
                    self._remove_stale_locks(steps)
                    continue
                raise RefConflict(
                    error.what, where=error.where, remedy="Read the ref again, then decide again."
                ) from error

    def _remove_stale_locks(self, steps: Sequence[RefUpdate]) -> None:
        """Deletes lock files of killed writers, for which git would refuse the ref for ever."""
        for step in steps:
            lock = self.path / f"{step.ref}.lock"
            try:
                if time.time() - lock.stat().st_mtime > STALE_LOCK_S:
                    lock.unlink()
                else:
                    time.sleep(0.05)
            except FileNotFoundError:
                continue

    def ref_fingerprint(self, namespace: str) -> str:
        """A text that changes whenever a ref below `namespace` appears or goes; a few stats."""
        root = self.path / namespace
        folders = [root, *(Path(e.path) for e in _scan(root) if e.is_dir())]
        stats = [_stamp(folder) for folder in sorted(folders)]
        return ";".join([*stats, _stamp(self.path / "packed-refs")])

    def ref_names(self, namespace: str) -> set[str]:
        """Names of all refs two levels below `namespace`, without reading what they hold."""
        names: set[str] = set()
        for folder in _scan(self.path / namespace):
            if folder.is_dir():
                base = f"{namespace}/{folder.name}"
                names |= {
                    f"{base}/{e.name}" for e in _scan(folder.path) if not e.name.endswith(".lock")
                }
        try:
            packed = (self.path / "packed-refs").read_text(encoding="utf-8")
        except FileNotFoundError:
            return names
        words = (line.split(" ", 1) for line in packed.splitlines() if line[:1] not in "#^")
        return names | {w[1] for w in words if len(w) == 2 and w[1].startswith(f"{namespace}/")}


def _entry(mode: bytes, name: str, oid: str) -> bytes:
    return mode + b" " + name.encode("utf-8", "surrogateescape") + b"\0" + bytes.fromhex(oid)


def _scan(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return "-"
    return f"{found.st_mtime_ns}.{found.st_ino}.{found.st_size}"
