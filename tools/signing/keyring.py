"""This machine's key pair, and what a signature is worth here.

The private key is a PEM file that only its owner may read. It is made when something is first
signed. Where it can neither be read nor made, nothing is signed and `problem` says why: what is
recorded then counts nowhere.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from ..errors import HarnessError
from . import unsigned
from .signature import RECORD, canonical, public_text, sign, signer_of
from .trusted_keys import TrustedKey, parse_keys, read_keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TRUSTED_KEYS = "trusted_keys"
"""Name of the user's list, beside the private key."""
Record = TypeVar("Record", bound=BaseModel)


class Trust(StrEnum):
    """What a signature, or its absence, is worth on this machine."""

    OWN = "own"
    TRUSTED = "trusted"
    BEFORE_SIGNING = "before signing"
    """Unsigned, and there before this machine signed anything."""
    UNVERIFIED = "unverified"


@dataclass(frozen=True)
class Verification:
    """What a signature is worth here, and in words who signed or why it does not count."""

    trust: Trust
    words: str

    @property
    def counts(self) -> bool:
        """Whether what it says may rank, be compared with, and decide."""
        return self.trust is not Trust.UNVERIFIED


UNSIGNED = Verification(Trust.UNVERIFIED, "it is not signed")
BEFORE_SIGNING = Verification(Trust.BEFORE_SIGNING, "recorded here before records were signed")


class Keyring:
    """The key pair and trusted keys of one machine, for one archive.

    Args:
        private_file: the private key; the user's list of trusted keys lies beside it.
        archive: folder of the archive.
        given: lines "ed25519:… name" of the setting.
        shipped: the list that comes with the harness.
    """

    def __init__(
        self,
        private_file: Path,
        archive: Path,
        given: Sequence[str] = (),
        shipped: Path | None = None,
    ) -> None:
        self.private_file = private_file
        self.accepted_file = private_file.parent / TRUSTED_KEYS
        self.problem = ""
        self._archive, self._given, self._shipped = archive, tuple(given), shipped
        self._private: Ed25519PrivateKey | None = None
        self._unsigned_file = unsigned.list_file(private_file.parent, archive)
        self._unsigned: unsigned.UnsignedObjects | None = None
        self._stamp: tuple[int, int] | None = None
        self._trusted: dict[str, TrustedKey] = {}

    # --- own key ------------------------------------------------------------------------------

    def public(self) -> str | None:
        """The public half of this machine's key, made if there is none; None with a `problem`."""
        private = self._own()
        return public_text(private) if private else None

    def sign(self, purpose: str, content: bytes) -> str | None:
        """The signature of some bytes; None where this machine has no key, with a `problem`."""
        private = self._own()
        return sign(private, purpose, content) if private else None

    def signed(self, record: Record) -> Record:
        """The record as it will be read from its file, with this machine's signature."""
        as_read = type(record).model_validate_json(record.model_dump_json())
        signature = self.sign(RECORD, canonical(as_read))
        return as_read.model_copy(update={"signature": signature})

    def _own(self) -> Ed25519PrivateKey | None:
        if self._private is None:
            try:
                self._private = _load(self.private_file)
                self.problem = ""
            except (OSError, ValueError, TypeError) as error:
                self.problem = f"nothing can be signed: {self.private_file}: {_reason(error)}"
        return self._private

    # --- what a signature is worth ------------------------------------------------------------

    def trusted(self) -> list[TrustedKey]:
        """Every key that is trusted beside this machine's own.

        Raises:
            HarnessError: when a list cannot be read.
        """
        found = read_keys(self._shipped, "shipped") if self._shipped else []
        found += parse_keys(self._given, "setting")
        return found + read_keys(self.accepted_file, "accepted")

    def verify(self, signature: str | None, purpose: str, content: bytes) -> Verification:
        """What a signature of these bytes is worth."""
        if not signature:
            return UNSIGNED
        key = signer_of(signature, purpose, content)
        if key is None:
            return Verification(Trust.UNVERIFIED, "its signature is not of what it holds")
        if key == self.public():
            return Verification(Trust.OWN, "signed on this machine")
        known = self._known().get(key)
        if known is None:
            return Verification(Trust.UNVERIFIED, f"its key {key} is not trusted here")
        return Verification(Trust.TRUSTED, f"signed by {known.name or known.source} ({key})")

    def verify_record(self, record: BaseModel) -> Verification:
        """What a record is worth by its signature."""
        signature = getattr(record, "signature", None)
        if not signature and self._unsigned_objects().holds(record):
            return BEFORE_SIGNING
        return self.verify(signature, RECORD, canonical(record))

    def verify_object(
        self, oid: str, signature: str | None, purpose: str, content: bytes
    ) -> Verification:
        """What a commit or tag of the archive is worth, by its id and its signature."""
        if not signature and oid in self._unsigned_objects().objects:
            return BEFORE_SIGNING
        return self.verify(signature, purpose, content)

    def note_unsigned(self, objects: Callable[[], Iterable[str]], records: Path) -> None:
        """Lists, once for an archive, what is there before anything is signed."""
        unsigned.write_list_once(self._unsigned_file, self._archive, objects, records)

    @property
    def fingerprint(self) -> str:
        """A text that changes when another set of keys counts."""
        known = sorted([*self._known(), self.public() or ""])
        counted = len(self._unsigned_objects().objects)
        return hashlib.sha256(" ".join([*known, str(counted)]).encode()).hexdigest()[:16]

    def _known(self) -> dict[str, TrustedKey]:
        """Trusted keys by their text; a list that cannot be read adds none."""
        stamp = _stamp(self.accepted_file)
        if stamp != self._stamp or not self._trusted:
            try:
                self._trusted = {known.key: known for known in self.trusted()}
            except HarnessError as error:
                self.problem = str(error)
                self._trusted = {}
            self._stamp = stamp
        return self._trusted

    def _unsigned_objects(self) -> unsigned.UnsignedObjects:
        if self._unsigned is None:
            self._unsigned = unsigned.read_list(self._unsigned_file)
        return self._unsigned


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino


def _load(file: Path) -> Ed25519PrivateKey:
    """Reads the private key, made if there is none.

    Raises:
        OSError: when it cannot be read or written, or others may read it.
        ValueError: when the file holds no such key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not file.exists():
        _make(file)
    with file.open("rb") as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if mode & 0o077:
            raise PermissionError(f"others may read it; run chmod 600 {file}")
        private = load_pem_private_key(stream.read(1 << 16), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise ValueError("it holds a key of another kind than Ed25519")
    return private


def _make(file: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    content = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, file)  # unlike rename, link never overwrites another's key
    except FileExistsError:
        return
    finally:
        temporary.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
