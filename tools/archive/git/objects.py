"""Git's objects: their formats, the signature in their last line, and a process that reads them.

All but the reader is pure: bytes in, values out. Whatever is not as git writes it is nothing, never
an exception.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from ...errors import ArchiveError

MOST_BYTES = 64 << 20
"""Of one object: a small packed one can be gigabytes of zeros."""
OBJECT_DEADLINE_S = 60.0
"""In which git must have read one; a file that another process holds may never be read."""
MOST_NAME_BYTES = 16_384

MOST_LEVELS = 40
MOST_FILES = 2_000
"""Files of one commit; a tree that names one subtree ten times on ten levels has billions."""
SIGNATURE = b"Signature: "
"""Begins the last line of a commit or tag that is signed, and is followed by the signature."""
Sign = Callable[[bytes], str | None]
_FILE_MODES = (b"100644", b"100755")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
_HEADER = re.compile(rb"[0-9a-f]{40} (commit|tree|blob|tag) ([0-9]{1,18})")
LATEST = 253_370_764_800
"""Begins the year 9999; no calendar here has later ones, so what is dated later does not say."""
_MADE_AT = re.compile(r"> ([0-9]{1,12}) [+-][0-9]{4}\Z")


@dataclass(frozen=True)
class GitObject:
    """A commit or tag: its headers by name, its message, and what a signature of it covers."""

    headers: dict[str, list[str]]
    message: str
    signed: bytes
    signature: str | None

    def ids(self, header: str) -> list[str]:
        """The object ids that a header gives, e.g. "parent"."""
        return [oid for oid in self.headers.get(header, []) if _OBJECT_ID.fullmatch(oid)]

    def header(self, name: str) -> str:
        """The first value of a header; empty when there is none."""
        return self.headers.get(name, [""])[0]

    @property
    def tagged_at(self) -> int:
        """Seconds since the epoch at which a tag was made; 0 when it does not say."""
        return _made_at(self.header("tagger"))

    @property
    def committed_at(self) -> int:
        """Seconds since the epoch that a commit is dated; 0 when it does not say."""
        return _made_at(self.header("committer"))


def _made_at(person: str) -> int:
    found = _MADE_AT.search(person)
    at = int(found[1]) if found else 0
    return at if at < LATEST else 0


def parse_object(content: bytes) -> GitObject:
    """Reads a commit or tag."""
    signed, signature = split_signature(content)
    head, _, message = content.partition(b"\n\n")
    headers: dict[str, list[str]] = {}
    for line in head.decode("utf-8", "replace").split("\n"):
        name, _, value = line.partition(" ")
        headers.setdefault(name, []).append(value)
    return GitObject(headers, message.decode("utf-8", "replace"), signed, signature)


def split_signature(content: bytes) -> tuple[bytes, str | None]:
    """A commit or tag without its signature, and the signature; None when it has none."""
    signed, _, last = content.removesuffix(b"\n").rpartition(b"\n")
    if not last.startswith(SIGNATURE):
        return content, None
    return signed + b"\n", last.removeprefix(SIGNATURE).decode("ascii", "replace")


def with_signature(content: bytes, sign: Sign | None) -> bytes:
    """A commit or tag that ends in its signature; as it is where nothing signs it."""
    signature = sign(content) if sign else None
    return content + SIGNATURE + signature.encode() + b"\n" if signature else content


def tree_entry(mode: bytes, name: str, oid: str) -> bytes:
    """One entry of a tree object."""
    return mode + b" " + name.encode("utf-8", "surrogateescape") + b"\0" + bytes.fromhex(oid)


def tree_entries(content: bytes) -> Iterator[tuple[bytes, bytes, str]]:
    """Mode, name and id of each entry of a tree object; ends at one that is cut off."""
    at = 0
    while at < len(content):
        space, end = content.find(b" ", at), content.find(b"\0", at)
        if not at < space < end or end + 21 > len(content):
            return
        yield content[at:space], content[space + 1 : end], content[end + 1 : end + 21].hex()
        at = end + 21


def entry_fault(mode: bytes, name: bytes, level: int, entries: int) -> str | None:
    """What is wrong with an entry of a candidate's tree, in words; None for nothing.

    Args:
        level: how many folders it lies below the root.
        entries: how many were met so far.
    """
    if entries > MOST_FILES:
        return f"more than {MOST_FILES} files and folders"
    if level > MOST_LEVELS:
        return f"folders nested more than {MOST_LEVELS} deep"
    if mode != b"40000" and mode not in _FILE_MODES:
        return f"an entry of mode {mode.decode('ascii', 'replace')}, no regular file"
    if name in (b"", b".", b"..") or b"/" in name or name.lower().startswith(b".git"):
        return f"an entry that is called {name.decode('utf-8', 'replace')!r}"
    return None


class ObjectReader:
    """Reads objects through one `git cat-file --batch`, which is ended where it does not answer."""

    def __init__(
        self,
        start: Callable[[], subprocess.Popen[bytes]],
        deadline_s: float = OBJECT_DEADLINE_S,
    ) -> None:
        self._start = start
        self._deadline_s = deadline_s
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, name: str, most: int = MOST_BYTES) -> tuple[str, bytes]:
        """The kind and content of an object.

        Raises:
            ValueError: when git knows none of that name.
            OSError: when git ended over it, as it does over a damaged one.
            ArchiveError: when it has more than `most` bytes, or does not come in time.
        """
        asked = name.encode("utf-8", "surrogateescape")
        if b"\n" in asked or len(asked) > MOST_NAME_BYTES:
            raise ValueError("git can be asked for no such name")
        answered = False
        try:
            process = self._process = self._process or self._started()
            found = _answer(process, asked, most, time.monotonic() + self._deadline_s)
            answered = True
        except TimeoutError as error:
            raise ArchiveError(
                f"git had not read the object {name!r} after {self._deadline_s:g} s",
                remedy="Look whether the archive's disk answers at all, then try again.",
            ) from error
        finally:
            if not answered:
                self.close()
        if found is None:
            raise ValueError(f"git knows no object {name!r}")
        return found

    def _started(self) -> subprocess.Popen[bytes]:
        """A new process; its complaints are read and dropped, or it would wait for a reader."""
        process = self._start()
        threading.Thread(target=_drop, args=[process.stderr], daemon=True).start()
        process.stderr = None  # the thread's, which closes it
        return process

    def close(self) -> None:
        """Ends the process; the next object starts another."""
        process, self._process = self._process, None
        if process is not None:
            end_process(process)


def _answer(
    process: subprocess.Popen[bytes], asked: bytes, most: int, due: float
) -> tuple[str, bytes] | None:
    """What `cat-file --batch` says of a name: kind and content; None where there is no object."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(asked + b"\n")
    process.stdin.flush()
    said = bytearray()
    while b"\n" not in said:
        said += _some(process.stdout, due)
    line, _, rest = bytes(said).partition(b"\n")
    if (header := _HEADER.fullmatch(line)) is None:
        return None
    size = int(header[2])
    if size > most:
        raise ArchiveError(
            f"The object {asked.decode('utf-8', 'replace')!r} has {size} bytes, more than the "
            f"{most} that are read",
            remedy="No harness writes one so large; plain git shows it.",
        )
    content = bytearray(rest)
    while len(content) <= size:  # a line break ends it
        content += _some(process.stdout, due)
    return header[1].decode(), bytes(content[:size])


def _some(stream: IO[bytes], due: float) -> bytes:
    """The bytes that come next.

    Raises:
        TimeoutError: when none came until it was due.
        OSError: when there are no more.
    """
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    if not poll.poll(max(due - time.monotonic(), 0.0) * 1_000):
        raise TimeoutError
    if not (came := os.read(stream.fileno(), 1 << 20)):
        raise OSError("git ended")
    return came


def end_process(process: subprocess.Popen[bytes], patience_s: float = 2.0) -> None:
    """Ends a process of git's, which may have ended, and closes its pipes; waits a few seconds.

    Asked to end, git removes its lock files. One that the kernel holds in a read stays behind.
    """
    for stop in (process.terminate, process.kill):
        if process.poll() is None:
            stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _drop(stream: IO[bytes]) -> None:
    """Reads a stream to its end and keeps nothing."""
    with stream, contextlib.suppress(OSError, ValueError):
        while os.read(stream.fileno(), 1 << 16):
            pass
