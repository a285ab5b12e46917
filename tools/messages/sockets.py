"""Frames of `candidate` over a Unix stream socket, with file descriptors beside them.

Used by both ends of the two socket pairs: judge ⇄ zygote and judge ⇄ candidate. It knows how to
move a frame and its descriptors; it knows nothing of what the messages mean, and it cannot promise
that the other end is honest, only that no more than `limit` bytes of it are read.
"""

from __future__ import annotations

import array
import os
import select
import socket
import time
from collections.abc import Sequence
from typing import TypeVar

from pydantic import TypeAdapter

from .frames import (
    CANDIDATE_FRAME_BYTES,
    TRUSTED_FRAME_BYTES,
    Message,
    WireError,
    decode,
    encode,
    frame_length,
)

T = TypeVar("T")

MAX_DESCRIPTORS = 4
HEADER_BYTES = 4


class WireClosedError(WireError):
    """Raised when the other end closed its socket between two frames or inside one."""


class WireTimeoutError(WireError):
    """Raised when a frame was not complete before its deadline."""


def send_frame(
    sock: socket.socket,
    message: Message,
    fds: Sequence[int] = (),
    *,
    limit: int = TRUSTED_FRAME_BYTES,
    timeout_s: float | None = None,
) -> None:
    """Sends one message, its descriptors travelling with the first byte.

    Args:
        sock: a connected AF_UNIX stream socket in blocking mode.
        message: what to say.
        fds: open descriptors to hand over; this end keeps its own copies.
        limit: most bytes of JSON to send.
        timeout_s: seconds to wait for space in the socket; None waits for ever. The socket is left
            in blocking mode.

    Raises:
        WireTimeoutError: when there was no space in time; the stream is then of no further use.
        WireError: when the message is longer than `limit`, or too many descriptors are given.
        WireClosedError: when the other end is gone.
    """
    if len(fds) > MAX_DESCRIPTORS:
        raise WireError(f"{len(fds)} descriptors were to be sent; at most {MAX_DESCRIPTORS} are")
    frame = encode(message, limit)
    if timeout_s is not None:
        sock.settimeout(timeout_s)
    try:
        sent = 0
        if fds:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())
            sent = sock.sendmsg([frame], [rights])
        sock.sendall(memoryview(frame)[sent:])
    except TimeoutError as error:
        raise WireTimeoutError("The other end of a socket takes nothing from it") from error
    except (BrokenPipeError, ConnectionResetError) as error:
        raise WireClosedError("The other end of a socket is gone") from error
    finally:
        if timeout_s is not None:
            sock.settimeout(None)


def recv_frame(
    sock: socket.socket,
    adapter: TypeAdapter[T],
    limit: int = CANDIDATE_FRAME_BYTES,
    *,
    timeout_s: float | None = None,
) -> tuple[T, list[int]]:
    """Receives one message and the descriptors beside it.

    Args:
        sock: a connected AF_UNIX stream socket.
        adapter: the messages this end accepts, e.g. `wire.from_candidate`.
        limit: most bytes of JSON to read.
        timeout_s: seconds until the whole frame must be there; None waits for ever. The socket
            is left in blocking mode.

    Returns:
        The message, and its descriptors (close-on-exec, for the caller to close).

    Raises:
        WireClosedError: when the other end closed the socket.
        WireTimeoutError: when the deadline passed; the stream is then of no further use.
        WireError: when the frame is too long or not one of the adapter's messages.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    fds: list[int] = []
    try:
        header = _read(sock, HEADER_BYTES, fds, deadline)
        body = _read(sock, frame_length(header, limit), fds, deadline)
        return decode(adapter, body), fds
    except BaseException:
        close_all(fds)
        raise
    finally:
        sock.settimeout(None)


def readable(sock: socket.socket) -> bool:
    """Whether a frame has begun to arrive, or the other end is gone."""
    return bool(select.select([sock], [], [], 0)[0])


def close_all(fds: Sequence[int]) -> None:
    """Closes descriptors that were received and are not wanted."""
    for fd in fds:
        os.close(fd)


def _read(sock: socket.socket, count: int, fds: list[int], deadline: float | None) -> bytes:
    parts: list[bytes] = []
    left = count
    space = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
    while left:
        if deadline is not None:
            sock.settimeout(max(deadline - time.monotonic(), 1e-6))
        try:
            part, ancillary, flags, _ = sock.recvmsg(
                min(left, 1 << 20), space, socket.MSG_CMSG_CLOEXEC
            )
        except TimeoutError as error:
            raise WireTimeoutError("A frame was not complete in time") from error
        except ConnectionResetError as error:
            raise WireClosedError("The other end of a socket is gone") from error
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
                fds.extend(received)
        if flags & socket.MSG_CTRUNC or len(fds) > MAX_DESCRIPTORS:
            raise WireError("More descriptors came with a frame than are ever sent")
        if not part:
            raise WireClosedError("The other end of a socket closed it")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
