"""What Linux does with this process, as `prctl` sets it: signals, core dumps, who may look into it.

Imported by judge and candidate alike, so it knows nothing of either.
"""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, first: int = 0, second: int = 0) -> int:
    """Calls prctl with up to two numbers; returns 0 or the errno."""
    arguments = [ctypes.c_ulong(n) for n in (first, second, 0, 0)]
    if _libc.prctl(ctypes.c_int(option), *arguments) >= 0:
        return 0
    return ctypes.get_errno() or -1


def die_with_parent(parent: int | None = None, number: int = signal.SIGKILL) -> None:
    """Has the kernel signal this process when its parent ends; a credential change undoes it.

    Args:
        parent: id the parent had before the fork; when it has ended already, so does this process.
            Seen from inside a new process namespace a parent outside has the id 0.
        number: the signal.
    """
    prctl(PR_SET_PDEATHSIG, number)
    if parent is not None and os.getppid() not in (parent, 0):
        os._exit(1)


def forbid_dumps() -> int:
    """Makes /proc/<pid> of this process root's, and stops core dumps; returns 0 or the errno."""
    return prctl(PR_SET_DUMPABLE, 0)


def allow_dumps() -> int:
    """Undoes `forbid_dumps`: /proc/<pid> belongs to this process's user again."""
    return prctl(PR_SET_DUMPABLE, 1)
