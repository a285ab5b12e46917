"""Length-prefixed frames of plain data: the base class of every message, and size limits."""

from __future__ import annotations

import json
import struct
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..errors import InfrastructureError

CANDIDATE_FRAME_BYTES = 1 << 20


TRUSTED_FRAME_BYTES = 256 << 20


EXCERPT_CHARACTERS = 8_000


_LENGTH = struct.Struct(">I")


class Message(BaseModel):
    """Base of every message: frozen, and refusing names it does not know.

    Validators are built on first use: a starting server sends none of these. JSON has no number
    for NaN and the infinities: they travel as the words "NaN", "Infinity" and "-Infinity".
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="strings"
    )


T = TypeVar("T")


class WireError(InfrastructureError):
    """Raised when a frame is too long, cut short or not the message it must be."""


def encode(message: Message, limit: int = TRUSTED_FRAME_BYTES) -> bytes:
    """Turns a message into one frame.

    Raises:
        WireError: when it is longer than `limit` bytes.
    """
    body = message.model_dump_json().encode()
    if len(body) > limit:
        raise WireError(f"A {type(message).__name__} of {len(body)} bytes exceeds {limit}")
    return _LENGTH.pack(len(body)) + body


def frame_length(header: bytes, limit: int) -> int:
    """Reads the length of the frame that follows a four-byte header.

    Raises:
        WireError: when the header is cut short or announces more than `limit` bytes.
    """
    if len(header) != _LENGTH.size:
        raise WireError("A frame's header was cut short")
    (length,) = _LENGTH.unpack(header)
    if length > limit:
        raise WireError(f"A frame of {length} bytes was announced; at most {limit} are read")
    return length


def decode(adapter: TypeAdapter[T], body: bytes) -> T:
    """Parses and validates one frame's body.

    Raises:
        WireError: when it is not one of the adapter's messages; the text names the first fault.
    """
    try:
        return adapter.validate_python(json.loads(body))
    except (ValidationError, ValueError, RecursionError) as error:
        words = str(error).splitlines()[:3]
        raise WireError(f"A message could not be read: {' '.join(words)[:300]}") from error


def recv_exactly(read: Any, count: int) -> bytes:
    """Reads `count` bytes from `read(n)`, or what there is before the end of the stream."""
    parts: list[bytes] = []
    left = count
    while left:
        part = read(min(left, 1 << 20))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
