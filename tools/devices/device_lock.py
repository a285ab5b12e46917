"""Holds a GPU against the other servers of this machine, whatever their data folders.

Two clients start two servers. A server whose judge works on a GPU locks a file that is named after
the device's UUID: `cuda:0` is another device in each process that sees other ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

from ..progress import OnProgress
from .environment import nvidia_devices

TELL_S = 1.5
"""Who waits is told so at once, and again this often."""
POLL_S = 0.1


@contextlib.asynccontextmanager
async def held_device(device: str, progress: OnProgress) -> AsyncIterator[None]:
    """Waits for a device and holds it; the CPU is everybody's.

    One server at a time is the next, so that the one that holds the device cannot take it again
    before another that waits.
    """
    if device == "cpu":
        yield
        return
    began = time.monotonic()
    with _opened(f"{lock_name(device)}.next") as following, _opened(lock_name(device)) as holding:
        try:
            await _acquire(following, holding, began, progress)
            await _acquire(holding, holding, began, progress)
        finally:
            fcntl.flock(following, fcntl.LOCK_UN)
        holding.seek(0)
        holding.truncate()
        holding.write(str(os.getpid()))
        holding.flush()
        yield  # closing the file ends the lock


def lock_name(device: str) -> str:
    """The name of a device's lock: its UUID where the driver tells it, else what it is called."""
    number = int(device.partition(":")[2] or 0)
    known = nvidia_devices()
    uuid = known[number].uuid if number < len(known) else None
    return f"kernel-harness-{uuid or device.replace(':', '')}.lock"


@contextlib.contextmanager
def _opened(name: str) -> Iterator[IO[str]]:
    path = Path(tempfile.gettempdir()) / name
    with path.open("a+") as file:
        with contextlib.suppress(PermissionError):  # made by another account, for all
            path.chmod(0o666)
        yield file


async def _acquire(turn: IO[str], holding: IO[str], began: float, progress: OnProgress) -> None:
    spoke = 0.0
    while True:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            now = time.monotonic()
            if now - spoke > TELL_S:
                spoke = now
                holder = os.pread(holding.fileno(), 20, 0).decode(errors="replace").strip()
                words = f"waiting for {now - began:.0f} s for the device"
                await progress(0, 1, f"{words}, held by process {holder or 'unknown'}")
            await asyncio.sleep(POLL_S)
