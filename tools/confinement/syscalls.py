"""System calls that Python does not offer, by ctypes: unshare, mount, capset and others.

Most return 0 or an errno and raise nothing, for every step of the sandbox is best effort and its
result is reported.
"""

from __future__ import annotations

import ctypes
import os
import sys

from ..process_control import prctl

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECCOMP_MODE_FILTER = 2
READ_ANYTHING = {"CAP_DAC_READ_SEARCH": 2, "CAP_DAC_OVERRIDE": 1}
"""Capabilities by which files of others can be read, the lesser first."""
CAP_SETPCAP = 8
CAP_SYS_ADMIN = 21
MNT_DETACH = 2
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)


def result(value: int) -> int:
    """0 for a C return value that tells success, else the errno."""
    return 0 if value >= 0 else ctypes.get_errno() or -1


def syscall(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Calls by number; returns what the kernel returned, or minus the errno."""
    value = _libc.syscall(ctypes.c_long(number), *arguments)
    return value if value >= 0 else -(ctypes.get_errno() or 1)


def become_subreaper() -> int:
    """Makes this process the parent of orphaned descendants."""
    return prctl(PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> int:
    """Forbids that an exec raises this process's rights."""
    return prctl(PR_SET_NO_NEW_PRIVS, 1)


def unshare(flags: int) -> int:
    """Leaves the named namespaces for new ones."""
    return result(_libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> int:
    """Mounts; an empty `kind` is left out."""
    return result(
        _libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() or None,
            ctypes.c_ulong(flags),
            options.encode() or None,
        )
    )


def unmount(target: str) -> int:
    """Takes the topmost mount away from a folder, even while it is in use."""
    return result(_libc.umount2(target.encode(), ctypes.c_int(MNT_DETACH)))


def drop_capabilities() -> int:
    """Drops every capability, held or obtainable, in this process's user namespace.

    What is obtainable is dropped by one who holds `CAP_SETPCAP`, which an account of its own has
    only after `keep_capabilities_with_account`.
    """
    _set_capabilities(1 << CAP_SETPCAP)
    for capability in range(_LAST_CAPABILITY + 1):
        prctl(PR_CAPBSET_DROP, capability)
    return _set_capabilities(0)


def keep_capabilities_with_account() -> int:
    """Keeps the permitted capabilities at the next change of account, where they can be given up.

    Where a filter refuses `capset`, the change of account is what takes them away.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    for call in (_libc.capget, _libc.capset):  # to what they are
        if (refused := result(call(ctypes.byref(header), ctypes.byref(sets)))) != 0:
            return refused
    return prctl(PR_SET_KEEPCAPS, 1)


def keep_only(capability: int) -> bool:
    """Reduces the capabilities to one of the first 32, and lets exec keep it."""
    if _set_capabilities(1 << capability) != 0:
        return False
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability) == 0


def _set_capabilities(bits: int) -> int:
    """Makes the first 32 capabilities in `bits` the effective, permitted and inheritable ones."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)
    return result(_libc.capset(ctypes.byref(header), ctypes.byref(sets)))


def set_host_name(name: str) -> int:
    """Names the host of this UTS namespace."""
    return result(_libc.sethostname(name.encode(), len(name)))


def close_descriptors_except(kept: set[int]) -> None:
    """Closes every descriptor above the standard three that is not in `kept`."""
    for name in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
        fd = int(name)
        if fd > 2 and fd not in kept:
            try:
                os.close(fd)
            except OSError:
                continue
