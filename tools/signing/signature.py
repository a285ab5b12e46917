"""Signs and checks bytes with Ed25519; keys and signatures are texts that fit on one line.

A public key is "ed25519:" and 32 bytes in base64. A signature is the public key that it was made
by, a blank, and 64 bytes in base64, so that it can be checked without knowing who signed. What is
signed begins with its purpose: a signature of a record is none of a promotion.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ..errors import RequestError
from ..text import shorten

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHM = "ed25519:"
RECORD = "kernel-harness evaluation"
CANDIDATE = "kernel-harness candidate"
TRIAL = "kernel-harness trial"
PROMOTION = "kernel-harness promotion"
AMENDMENT = "kernel-harness amendment"
PLAN = "kernel-harness plan"
BATCH = "kernel-harness batch"
FIELD = "signature"
"""Field of a record that holds its signature, which does not cover itself."""
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64


def canonical(record: BaseModel) -> bytes:
    """A record as JSON without its signature: keys sorted, no blanks, ASCII alone."""
    values: dict[str, Any] = json.loads(record.model_dump_json())
    values.pop(FIELD, None)
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def public_text(private: Ed25519PrivateKey) -> str:
    """The public half of a key pair as text."""
    return ALGORITHM + base64.b64encode(private.public_key().public_bytes_raw()).decode()


def checked_public(text: str) -> str:
    """The text of a public key, without blanks around it.

    Raises:
        RequestError: when it is no public key.
    """
    key = text.strip()
    if _decoded(key.removeprefix(ALGORITHM)) is None or not key.startswith(ALGORITHM):
        raise RequestError(
            f"{shorten(key, 80)!r} is no public key",
            remedy="`kernel-harness trust` prints a machine's own, which begins with 'ed25519:'.",
        )
    return key


def sign(private: Ed25519PrivateKey, purpose: str, content: bytes) -> str:
    """The signature of some bytes for a purpose, with the public key to check it by."""
    value = private.sign(_signed(purpose, content))
    return f"{public_text(private)} {base64.b64encode(value).decode()}"


def signer_of(signature: str, purpose: str, content: bytes) -> str | None:
    """The public key whose private half signed these bytes for this purpose; None if none did."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key, _, value = signature.partition(" ")
    public = _decoded(key.removeprefix(ALGORITHM))
    signed = _decoded(value, _SIGNATURE_BYTES)
    if not key.startswith(ALGORITHM) or public is None or signed is None:
        return None
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signed, _signed(purpose, content))
    except (InvalidSignature, ValueError):
        return None
    return key


def _signed(purpose: str, content: bytes) -> bytes:
    return purpose.encode() + b"\n" + content


def _decoded(text: str, length: int = _KEY_BYTES) -> bytes | None:
    """The bytes of a base64 text in its only spelling; None for anything else."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if len(value) == length and base64.b64encode(value).decode() == text else None
