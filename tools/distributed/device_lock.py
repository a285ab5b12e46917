"""Holds a GPU against the other servers of this machine, whatever their data folders.

Two clients start two servers. A server whose judge works on a GPU locks a file that is named after
the device's UUID: `cuda:0` is another device in each process that sees other ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..devices.gpus import gpu_of

MACHINE = Path("/tmp")
"""Where the servers of a machine meet, whatever TMPDIR says: jobs of Slurm each have their own."""


@dataclass(frozen=True)
class Holder:
    """Who holds a device, as it wrote into the lock's file.

    Attributes:
        usual_s: how long it holds a device for one evaluation; None where it does not know.
    """

    process: int
    usual_s: float | None = None


def lock_name(device: str) -> str:
    """The name of a device's lock: its UUID where the driver tells it, else what it is called."""
    gpu = gpu_of(device)
    uuid = gpu.uuid if gpu else None
    return f"kernel-harness-{uuid or device.replace(':', '')}.lock"


class DeviceLock:
    """A GPU of this machine held against other servers; what else there is, is everybody's.

    Use `take`; the kernel ends the lock with the process.
    """

    def __init__(self, file: IO[str] | None) -> None:
        self._file = file

    @classmethod
    def take(cls, device: str, usual_s: float | None = None) -> DeviceLock | None:
        """Takes a device, or returns None at once where another server holds it.

        Args:
            usual_s: told to those who wait.
        """
        if not device.startswith("cuda:"):
            return cls(None)
        file = _opened(device)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()} {usual_s:.3f}" if usual_s is not None else f"{os.getpid()}")
        file.flush()
        return cls(file)

    def release(self) -> None:
        """Gives the device to whoever is the next."""
        if self._file is not None:
            self._file.close()


def in_use(device: str) -> bool:
    """Whether any server of this machine holds a device."""
    with contextlib.suppress(OSError), _opened(device) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def holder_of(device: str) -> Holder | None:
    """Who holds a device, or held it last; None where no server ever did."""
    with contextlib.suppress(OSError), _opened(device) as file:
        said = os.pread(file.fileno(), 64, 0).decode(errors="replace")
        found = re.match(r"(\d+)(?: (\d+\.\d+))?", said)
        if found:
            return Holder(int(found[1]), float(found[2]) if found[2] else None)
    return None


def machine_folder() -> Path:
    """The folder that all servers of this machine see."""
    return MACHINE if os.access(MACHINE, os.W_OK) else Path(tempfile.gettempdir())


def _opened(device: str) -> IO[str]:
    path = machine_folder() / lock_name(device)
    with contextlib.suppress(FileNotFoundError):
        # Where another account made it, Linux refuses to open it in a way that could make it.
        return path.open("r+", encoding="utf-8")
    file = path.open("a+", encoding="utf-8")
    with contextlib.suppress(PermissionError):  # made by another account meanwhile
        path.chmod(0o666)
    return file
