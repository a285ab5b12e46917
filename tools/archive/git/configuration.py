"""The configuration under which git runs here: ours, whatever the user and the machine have set.

A person's git prunes what it fetches, signs what it pushes, runs hooks, colours what it prints. Of
theirs only the name of the author is read and, for another repository, the way to reach it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ...settings import git_environment

NOTHING = "/dev/null"
OURS = {
    "core.hooksPath": NOTHING,
    "core.attributesFile": NOTHING,
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.safecrlf": "false",
    "core.quotePath": "true",
    "core.abbrev": "auto",
    "core.logAllRefUpdates": "false",
    "color.ui": "false",
    "diff.noprefix": "false",
    "diff.mnemonicPrefix": "false",
    "diff.relative": "false",
    "diff.orderFile": NOTHING,
    "diff.context": "3",
    "diff.interHunkContext": "0",
    "diff.algorithm": "default",
    "diff.suppressBlankEmpty": "false",
    "fetch.prune": "false",
    "fetch.pruneTags": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "log.showSignature": "false",
    "log.follow": "false",
    "maintenance.auto": "false",
    "push.gpgSign": "false",
    "push.followTags": "false",
    "push.recurseSubmodules": "no",
    "push.useForceIfIncludes": "false",
    "submodule.recurse": "false",
}
"""What holds even where the archive's own repository says otherwise."""
_ACCESS = ("credential.", "http.", "ssh.", "url.")
_ACCESS_KEYS = ("core.askpass", "core.gitproxy", "core.sshcommand")
"""What a person sets to reach other machines: keys that begin so, and keys."""
_OWNERS = "safe."
"""Says whose folders may be read; other machines' are none of git's business here."""


@dataclass(frozen=True)
class UserConfiguration:
    """What is taken over from a user's configuration.

    Attributes:
        identity: the author's name and address.
        access: keys and values, for repositories on other machines.
        owners: those for repositories on this one.
    """

    identity: tuple[str, str]
    access: tuple[tuple[str, str], ...] = ()
    owners: tuple[tuple[str, str], ...] = ()


NOBODY = UserConfiguration(("kernel-harness", "kernel-harness@localhost"))
"""Of somebody who has set nothing, or whose configuration git cannot read."""


def read_user(listed: str) -> UserConfiguration:
    """Picks what is taken over out of `git config --list --null`."""
    pairs: list[tuple[str, str]] = []
    for entry in filter(None, listed.split("\0")):
        key, separator, value = entry.partition("\n")
        pairs.append((key, value if separator else "true"))
    last = dict(pairs)
    name, address = NOBODY.identity
    return UserConfiguration(
        (last.get("user.name") or name, last.get("user.email") or address),
        tuple(p for p in pairs if p[0].startswith(_ACCESS) or p[0] in _ACCESS_KEYS),
        tuple(p for p in pairs if p[0].startswith(_OWNERS)),
    )


def our_environment() -> dict[str, str]:
    """The environment of git under our configuration."""
    found = git_environment() | {
        "GIT_CONFIG_GLOBAL": NOTHING,
        "GIT_CONFIG_SYSTEM": NOTHING,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": str(len(OURS)),
    }
    for number, (key, value) in enumerate(OURS.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


@contextmanager
def access_file(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A file of git's configuration that says these keys, while it is needed.

    A file, not variables: git at the other end of a local path reads it too.
    """
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("".join(_line(key, value) for key, value in pairs))
        file.flush()
        yield file.name


def _line(key: str, value: str) -> str:
    section, _, rest = key.partition(".")
    name, _, key = rest.rpartition(".")
    head = f"{section} {_quoted(name)}" if name else section
    # Only a value has names for white space; in a section's name `\\t` is the letter t.
    text = _quoted(value).replace("\n", "\\n").replace("\t", "\\t")
    return f"[{head}]\n\t{key} = {text}\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
