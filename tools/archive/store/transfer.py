"""Copies the archive to and from remotes and bundle files.

What is fetched lands below refs/quarantine/<name>/, where it decides nothing. A candidate that can
be read and that a trusted key signed is then named below refs/candidates/ as well; the others stay,
and are shown as unverified. Tags, evidence and bests of the other side always stay: promotions are
decided here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...errors import ArchiveError, HarnessError, RequestError
from ...text import one_line
from ..git.commands import TRANSFER_DEADLINE_S
from ..git.repository import RefConflict, RefUpdate
from .amendments import AMENDMENTS, amended_candidate, read_amendment
from .archive import Archive
from .index_sync import CANDIDATES, QUARANTINE, read_commit, read_record, verify_candidate
from .plans.commits import PLANS, read_plan
from .promotion_tags import promotion_events
from .trials.table import TRIALS

_BEST = "refs/heads/best/"
_OWN = (CANDIDATES, AMENDMENTS, PLANS, "refs/evidence", "refs/tags", "refs/heads/best")
_PART = r"[A-Za-z0-9_+%-](?:\.?[A-Za-z0-9_+%-]){0,200}"
_NUMBERED = rf"(?:promoted|rollback)/{_PART}/{_PART}/[0-9]{{1,9}}|verified/{_PART}/[0-9]{{1,9}}"
_FETCHED = re.compile(
    rf"refs/(?:(?P<said>(?:candidates|plans)/{_PART}/[0-9a-f]{{12}}"
    rf"|amendments/[0-9a-f]{{12}}-[0-9a-f]{{12}})|heads/(?P<best>best/{_PART}/{_PART})"
    rf"|(?P<event>(?:tags|evidence)/(?:{_NUMBERED})))"
)
"""Refs that harnesses write; all others of a remote are left there."""
_FETCHED_TRIAL = re.compile(rf"refs/(?P<said>trials/{_PART}/[0-9]{{8}}/ev-[0-9a-f-]{{1,60}})")


@dataclass(frozen=True)
class Transfer:
    """What was copied.

    Attributes:
        candidates: how many are new on the other side, or here.
        moved: refs that were copied; of a fetch, those in quarantine.
        differing: refs that were left alone because the two sides differ.
        unverified: of the new candidates, those whose signature does not count here.
        refused: candidates that cannot be read, each with the reason.
        trials: how many were copied, where they were asked for.
    """

    candidates: int
    moved: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    unverified: int = 0
    refused: tuple[str, ...] = ()
    trials: int = 0


def write_bundle(archive: Archive, file: Path, *, trials: bool = False) -> Path:
    """Writes all that was archived here into one file that `fetch` reads on another machine.

    Args:
        trials: with those that were not archived.

    Raises:
        ArchiveError: when nothing was archived yet.
    """
    _refuse_empty(archive)
    file.parent.mkdir(parents=True, exist_ok=True)
    globs = [f"--glob={namespace}/*" for namespace in _own(trials)]
    create = ("bundle", "create", str(file.resolve()), *globs)
    archive.repository.run(*create, deadline_s=TRANSFER_DEADLINE_S)
    return file


def write_trials(archive: Archive, file: Path, evaluations: Iterable[str]) -> int:
    """Writes the trials of some evaluations into one file that `fetch` reads; returns how many.

    No file is written where none of them was committed.
    """
    asked = set(evaluations)
    refs = [ref for ref in archive.trials.refs() if ref.rpartition("/")[2] in asked]
    if refs:
        stdin = "".join(f"{ref}\n" for ref in refs).encode()
        create = ("bundle", "create", str(file.resolve()), "--stdin")
        archive.repository.run(*create, stdin=stdin, deadline_s=TRANSFER_DEADLINE_S)
    return len(refs)


def fetch(archive: Archive, source: str, name: str = "origin", *, trials: bool = False) -> Transfer:
    """Fetches another archive's candidates, evidence, tags and bests into quarantine.

    From a URL, a folder or a bundle file; they are filed under `name`. Candidates that count here
    are admitted among those of this archive, and so are trials where they are asked for.
    """
    where, name = _checked(source), _slug(name)
    archive.repository.create()
    place = f"{QUARANTINE}/{name}"
    before = archive.repository.refs(QUARANTINE) | archive.repository.refs(CANDIDATES)
    listed = archive.repository.reach(where, "ls-remote", "--refs", "--end-of-options", where)
    specs = []
    for line in listed.splitlines():
        ref = line.partition("\t")[2]
        if trials and (trial := _FETCHED_TRIAL.fullmatch(ref)):
            specs.append(f"+{ref}:{place}/{trial['said']}")
        elif (found := _FETCHED.fullmatch(ref)) and ".lock" not in ref:
            specs.append(f"+{ref}:{place}/{found['said'] or found['best'] or found['event']}")
    if specs:
        _fetch_refs(archive, where, specs)
    known = set(before.values())
    fetched = archive.repository.refs(place)
    refused, unverified = admit(archive)
    archive.synced.synchronise()
    new = {
        oid for ref, oid in fetched.items() if oid not in known and ref.startswith(f"{place}/cand")
    }
    moved = sorted(ref for ref, oid in fetched.items() if before.get(ref) != oid)
    return Transfer(
        len(new - set(refused)),
        tuple(moved),
        unverified=len(new & unverified),
        refused=tuple(words for oid, words in refused.items() if oid in new),
        trials=_admit_trials(archive) if trials else 0,
    )


def left_in_quarantine(archive: Archive) -> int:
    """How many fetched candidates do not count here, so that a bundle or a push leaves them out."""
    own = set(archive.repository.refs(CANDIDATES).values())
    fetched = archive.repository.refs(QUARANTINE)
    kinds = {oid for ref, oid in fetched.items() if ref.split("/")[3] == "candidates"}
    return len(kinds - own)


def admit(archive: Archive) -> tuple[dict[str, str], set[str]]:
    """Names the candidates in quarantine that count here among those of this archive.

    Returns:
        Commits that cannot be read, with the reason; and those that do not count.
    """
    refused: dict[str, str] = {}
    unverified: set[str] = set()
    own = set(archive.repository.refs(CANDIDATES).values())
    for ref, oid in archive.repository.refs(QUARANTINE).items():
        parts = ref.split("/")
        if parts[3] != "candidates" or oid in own:
            continue
        try:
            commit = read_commit(archive.repository, oid)
            record = read_record(archive.repository, ref, oid, commit)
            if not verify_candidate(archive.keys, record, commit).counts:
                unverified.add(oid)
                continue
            archive.repository.update_refs([RefUpdate(f"{CANDIDATES}/{'/'.join(parts[4:])}", oid)])
        except RefConflict:
            continue
        except (HarnessError, ValueError, RecursionError) as error:
            refused[oid] = one_line(f"{'/'.join(parts[4:])}: {error}", 300)
    _admit_amendments(archive)
    _admit_plans(archive)
    return refused, unverified


def _admit_amendments(archive: Archive) -> None:
    """Names the amendments in quarantine that a trusted key signed among those of this archive."""
    repository = archive.repository
    own = set(repository.refs(AMENDMENTS).values())
    for ref, oid in repository.refs(QUARANTINE).items():
        parts = ref.split("/")
        if parts[3] != "amendments" or oid in own:
            continue
        if read_amendment(repository, archive.keys, oid, amended_candidate(ref)) is not None:
            with contextlib.suppress(RefConflict):
                repository.update_refs([RefUpdate(f"{AMENDMENTS}/{parts[4]}", oid)])


def _admit_plans(archive: Archive) -> None:
    """Names the plans in quarantine that a trusted key signed among those of this archive."""
    repository = archive.repository
    own = set(repository.refs(PLANS).values())
    for ref, oid in repository.refs(QUARANTINE).items():
        parts = ref.split("/")
        if parts[3] != "plans" or oid in own:
            continue
        if read_plan(repository, archive.keys, ref, oid) is not None:
            with contextlib.suppress(RefConflict):
                repository.update_refs([RefUpdate(f"{PLANS}/{'/'.join(parts[4:])}", oid)])


def _admit_trials(archive: Archive) -> int:
    """Names the trials in quarantine that count here among those of this archive; counts them."""
    repository, own = archive.repository, archive.trials.refs()
    admitted = 0
    for ref, oid in repository.refs(QUARANTINE).items():
        parts = ref.split("/")
        name = "/".join(["refs", *parts[3:]])
        if parts[3] != "trials" or name in own:
            continue
        with contextlib.suppress(HarnessError, ValueError, RecursionError):
            if archive.trials.verify(archive.trials.read_at(name, oid)).counts:
                repository.update_refs([RefUpdate(name, oid)])
                admitted += 1
    return admitted


def _own(trials: bool) -> tuple[str, ...]:
    return (*_OWN, TRIALS) if trials else _OWN


def _fetch_refs(archive: Archive, where: str, specs: list[str]) -> None:
    """Fetches refs; where git finds an object malformed, without that check.

    One such object would keep all others out; whatever is read is checked by its reader.
    """
    options = ("--no-prune", "--no-tags", "--no-write-fetch-head", "--quiet", "--stdin")
    stdin = "".join(f"{spec}\n" for spec in specs).encode()
    run = partial(archive.repository.reach, where, stdin=stdin, deadline_s=TRANSFER_DEADLINE_S)
    try:
        run("fetch", *options, "--end-of-options", where)
    except ArchiveError as error:
        if "fsck" not in error.what and "error: object" not in error.what:
            raise
        run("-c", "fetch.fsckObjects=false", "fetch", *options, "--end-of-options", where)


def push(archive: Archive, target: str, *, trials: bool = False) -> Transfer:
    """Sends candidates, evidence, tags and bests to another repository, trials where asked for.

    A best of the other side is replaced only when it is a candidate that was promoted here before;
    otherwise it is left alone and listed.
    """
    _refuse_empty(archive)
    where = _checked(target)
    listed = archive.repository.reach(where, "ls-remote", "--refs", "--end-of-options", where)
    theirs = {ref: oid for oid, ref in (line.split("\t") for line in listed.splitlines())}
    ours = {ref: oid for name in _own(trials) for ref, oid in archive.repository.refs(name).items()}
    promoted = {event.commit for event in promotion_events(archive.repository, archive.keys)}
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
        options = ("--quiet", "--no-verify", "--no-signed", *leases, "--end-of-options")
        archive.repository.reach(
            where, "push", *options, where, *part, deadline_s=TRANSFER_DEADLINE_S
        )
    sent = sum(spec.startswith(f"{CANDIDATES}/") for spec in specs)
    moved = tuple(spec.lstrip("+").split(":")[0] for spec in specs)
    also = sum(ref.startswith(f"{TRIALS}/") for ref in moved)
    return Transfer(sent, moved, tuple(differing), trials=also)


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
