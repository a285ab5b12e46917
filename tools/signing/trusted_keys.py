"""Lists of public keys whose signatures count here, and the names they are shown by.

A list is a text file of lines "ed25519:… name"; blank lines and those that begin with "#" are
skipped. One is shipped with the harness, for the histories that come with it; one belongs to the
user and is changed by `kernel-harness trust`; keys may be given by the setting `trusted_keys`, too.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InfrastructureError, RequestError
from ..text import one_line
from .signature import checked_public

NAME_CHARACTERS = 60
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class TrustedKey:
    """A public key that counts here; `source`: "shipped", "setting" or "accepted"."""

    key: str
    name: str
    source: str


def read_keys(file: Path, source: str) -> list[TrustedKey]:
    """The keys of a list; empty when there is no such file.

    Raises:
        RequestError: when a line is no key.
        InfrastructureError: when the file cannot be read.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise OSError(f"it has more than {MOST_BYTES} bytes")
        lines = file.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise InfrastructureError(
            f"The list of trusted keys cannot be read: {error}",
            where=str(file),
            remedy="Correct the file or delete it; then accept the keys again.",
        ) from error
    return parse_keys((line for line in lines if not line.lstrip().startswith("#")), source)


def parse_keys(lines: Iterable[str], source: str) -> list[TrustedKey]:
    """The keys of lines "ed25519:… name"; one without a name is called after its source.

    Raises:
        RequestError: when a line is no key.
    """
    found = []
    for line in filter(str.strip, lines):
        key, _, name = line.strip().partition(" ")
        found.append(TrustedKey(checked_public(key), one_line(name, NAME_CHARACTERS), source))
    return found


def accept_key(file: Path, key: str, name: str) -> TrustedKey:
    """Adds a key to the user's list, under a name that replaces one that it had there.

    Raises:
        RequestError: when it is no public key.
    """
    added = TrustedKey(checked_public(key), one_line(name, NAME_CHARACTERS), "accepted")
    kept = [known for known in read_keys(file, "accepted") if known.key != added.key]
    _write(file, [*kept, added])
    return added


def remove_key(file: Path, named: str) -> TrustedKey:
    """Takes the key of that text or name from the user's list.

    Raises:
        RequestError: when no key there, or more than one, is so called.
    """
    known = read_keys(file, "accepted")
    found = [key for key in known if named.strip() in (key.key, key.name)]
    if len(found) != 1:
        raise RequestError(
            f"{'Several accepted keys are' if found else 'No accepted key is'} {named!r}",
            where=str(file),
            remedy="`kernel-harness trust` lists them; shipped keys and settings are not in it.",
        )
    _write(file, [key for key in known if key != found[0]])
    return found[0]


def _write(file: Path, keys: Iterable[TrustedKey]) -> None:
    text = "# Public keys of machines whose records count here; see `kernel-harness trust`.\n"
    text += "".join(f"{key.key} {key.name}".rstrip() + "\n" for key in keys)
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, file)
    except OSError as error:
        raise InfrastructureError(
            f"The list of trusted keys cannot be written: {error.strerror}",
            where=str(file),
            remedy="Make its folder writable, or give the key by KERNEL_HARNESS_TRUSTED_KEYS.",
        ) from error
