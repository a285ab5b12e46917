"""Git's formats of trees, commits and tags, and the signature in the last line of the latter two.

Pure: bytes in, values out. Whatever is not as git writes it is nothing, never an exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MOST_LEVELS = 40
MOST_FILES = 2_000
"""Files of one commit; a tree that names one subtree ten times on ten levels has billions."""
SIGNATURE = b"Signature: "
"""Begins the last line of a commit or tag that is signed, and is followed by the signature."""
Sign = Callable[[bytes], str | None]
_FILE_MODES = (b"100644", b"100755")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
_TAGGED_AT = re.compile(r"> ([0-9]{1,12}) [+-][0-9]{4}\Z")


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
        found = _TAGGED_AT.search(self.header("tagger"))
        return int(found[1]) if found else 0


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
