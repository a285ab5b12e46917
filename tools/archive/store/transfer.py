"""Copies the archive to and from remotes and bundle files.

Candidates only ever add up. Two machines that promoted apart have different branches `best/…`,
tags and evidence under the same names; none is overwritten: what the other side has lies under
refs/remotes/<name>/, and the answer says where the two differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import ArchiveError, RequestError
from .archive import Archive
from .git_repository import RefConflict, RefUpdate

_BEST = "refs/heads/best/"


@dataclass(frozen=True)
class Transfer:
    """Refs that were copied, and refs left alone because the two sides differ."""

    candidates: int
    moved: tuple[str, ...]
    differing: tuple[str, ...]


def write_bundle(archive: Archive, file: Path) -> Path:
    """Writes everything into one file that `fetch` (or git clone) reads on another machine.

    Raises:
        ArchiveError: when nothing was archived yet.
    """
    _refuse_empty(archive)
    file.parent.mkdir(parents=True, exist_ok=True)
    archive.repository.run("bundle", "create", str(file.resolve()), "--all")
    return file


def fetch(archive: Archive, source: str, name: str = "origin") -> Transfer:
    """Fetches another archive's candidates, evidence, tags and bests.

    From a URL, a folder or a bundle file; its branches and tags are filed under `name`.
    """
    where, name = _checked(source), _slug(name)
    archive.repository.create()
    known = archive.repository.ref_names("refs/candidates")
    remote = f"refs/remotes/{name}"
    options = ("--no-prune", "--no-tags", "--no-write-fetch-head", "--quiet", "--end-of-options")
    copied = ("refs/candidates/*:refs/candidates/*", f"+refs/evidence/*:{remote}/evidence/*")
    moving = (f"+{_BEST}*:{remote}/best/*", f"+refs/tags/*:{remote}/tags/*")
    archive.repository.run("fetch", *options, where, *copied, *moving)
    moved, differing = _adopt(archive, remote)
    archive.synced.synchronise()
    new = archive.repository.ref_names("refs/candidates") - known
    return Transfer(len(new), tuple(moved), tuple(differing))


def _adopt(archive: Archive, remote: str) -> tuple[list[str], list[str]]:
    """Copies tags, evidence and bests that are not here yet; returns those that differ."""
    form = "--format=%(refname) %(objectname)"
    patterns = (f"{remote}/", "refs/tags/", "refs/evidence/", _BEST)
    listed = archive.repository.run("for-each-ref", form, *patterns)
    here = dict(line.split(" ") for line in listed.splitlines())
    moved: list[str] = []
    differing: list[str] = []
    for ref, oid in here.items():
        if not ref.startswith(f"{remote}/"):
            continue
        rest = ref.removeprefix(f"{remote}/")
        own = f"refs/heads/{rest}" if rest.startswith("best/") else f"refs/{rest}"
        if own not in here:
            try:
                archive.repository.update_refs([RefUpdate(own, oid)])
                moved.append(own)
            except RefConflict:
                differing.append(own)
        elif here[own] != oid:
            differing.append(own)
    return moved, differing


def push(archive: Archive, target: str) -> Transfer:
    """Sends candidates, evidence, tags and bests to another repository.

    A best of the other side is replaced only when it is a candidate that was promoted here before;
    otherwise it is left alone and listed.
    """
    _refuse_empty(archive)
    where = _checked(target)
    listed = archive.repository.run("ls-remote", "--refs", "--end-of-options", where)
    theirs = {ref: oid for oid, ref in (line.split("\t") for line in listed.splitlines())}
    ours = archive.repository.refs("refs/candidates", "refs/evidence", _BEST)
    tags = archive.repository.run("for-each-ref", "--format=%(refname) %(objectname)", "refs/tags/")
    ours |= dict(line.split(" ") for line in tags.splitlines())
    promoted = set(archive.repository.refs("refs/tags/promoted/").values())
    specs: list[str] = []
    leases: list[str] = []
    differing: list[str] = []
    for ref, oid in ours.items():
        held = theirs.get(ref)
        if held == oid:
            continue
        if held is None:
            specs.append(f"{ref}:{ref}")
        elif ref.startswith(_BEST) and held in promoted:
            leases.append(f"--force-with-lease={ref}:{held}")
            specs.append(f"+{ref}:{ref}")
        else:
            differing.append(ref)
    for start in range(0, len(specs), 1_000):
        part = specs[start : start + 1_000]
        archive.repository.run(
            "push", "--quiet", "--no-verify", *leases, "--end-of-options", where, *part
        )
    sent = sum(spec.startswith("refs/candidates/") for spec in specs)
    moved = tuple(spec.lstrip("+").split(":")[0] for spec in specs)
    return Transfer(sent, moved, tuple(differing))


def _refuse_empty(archive: Archive) -> None:
    if not archive.repository.exists or not archive.definitions():
        raise ArchiveError("The archive is empty", remedy="Archive a candidate first.")


def _checked(source: str) -> str:
    if not source.strip() or source.startswith("-") or "::" in source.split("/", 1)[0]:
        raise RequestError(
            f"{source!r} is no repository",
            remedy="Give a URL, a folder or a bundle file; helpers such as ext:: are refused.",
        )
    path = Path(source)
    return str(path.resolve()) if path.exists() else source


def _slug(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}", name):
        raise RequestError(f"{name!r} cannot name a remote", remedy="Use letters and digits.")
    return name
