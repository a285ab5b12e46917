"""Namespaces of the candidate process, and the view of the file system inside them.

What a candidate need not see is covered by empty folders, and what it needs below them is bound
back: so the checkout with its evaluations and oracles, other users' homes and /tmp are gone, and
an interpreter that lives in a home only root may enter can still be read after the user changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ... import process_control
from ...confinement import syscalls

NOBODY = 65534
_LONE_USERS = (1_879_048_192, (1 << 28) - 1)
"""First and count of the user ids that no distribution gives to anybody."""
SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")
_HOMES = ("/root", "/home")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


@dataclass(frozen=True)
class Cover:
    """An empty folder laid over `place`, and what shows through it."""

    place: Path
    shown: tuple[Path, ...]
    options: str


@cache
def user_namespace_possible() -> bool:
    """Whether this user may make a user namespace and say who it is inside; tried in a child.

    Where the first is allowed and not the second, a process would be nobody, for good.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if enter_user_namespace() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def enter_user_namespace() -> bool:
    """Gives an ordinary user the rights over namespaces that the other steps need.

    Inside, the user is 65534; outside it stays who it was, so files of that user stay its own.
    """
    user, group = os.geteuid(), os.getegid()
    process_control.allow_dumps()
    try:
        if syscalls.unshare(syscalls.CLONE_NEWUSER) != 0:
            return False
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{NOBODY} {user} 1"),
            ("gid_map", f"{NOBODY} {group} 1"),
        ):
            Path("/proc/self", name).write_text(text)
    except OSError:
        return False
    finally:
        process_control.forbid_dumps()
    return True


def start_loopback() -> None:
    """Brings up the loopback device of this network namespace.

    Raises:
        OSError: when the kernel refuses.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        flags = struct.unpack("16sH14s", answer)[1] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags, b""))


def give_to_lone_user(folder: Path) -> int:
    """Gives a folder to a user that nobody else on this machine is; to be called by root.

    The kernel counts processes by user, and lets one user's processes signal each other. Where
    few user ids exist, as in some containers, all candidates have to be one user.

    Returns:
        Its id.
    """
    user = _LONE_USERS[0] + secrets.randbelow(_LONE_USERS[1])
    try:
        os.chown(folder, user, user, follow_symlinks=False)
    except OSError:
        return NOBODY
    return user


def plan_covers(
    covered: Iterable[Path], needed: Iterable[Path], *, is_dir: frozenset[Path]
) -> list[Cover]:
    """The folders to cover and what is bound back into them, outermost first.

    Args:
        covered: folders to hide.
        needed: folders to keep visible, wherever they lie.
        is_dir: of `covered`, those that exist.
    """
    keep = set(needed)
    every = sorted({p for p in covered if p in is_dir and p not in keep}, key=lambda p: p.parts)
    covers: list[Cover] = []
    for place in every:
        above = [c.place for c in covers if place.is_relative_to(c.place)]
        hidden_already = above and not any(
            place.is_relative_to(shown) for c in covers for shown in c.shown
        )
        if hidden_already:
            continue
        shown = tuple(_outermost(p for p in keep if p.is_relative_to(place)))
        scratch = str(place) in SCRATCH
        options = "mode=1777,size=1g" if scratch else "mode=0755,size=16m"
        covers.append(Cover(place, shown, options))
    return covers


def closed_to_others(paths: Iterable[Path]) -> set[Path]:
    """The outermost folder above each path that other users may not enter."""
    closed: set[Path] = set()
    for path in paths:
        for folder in reversed(path.parents):
            with contextlib.suppress(OSError):
                if folder.stat().st_mode & 0o001 == 0:
                    closed.add(folder)
                    break
    return closed


def cover_file_system(covers: Iterable[Cover]) -> bool:
    """Mounts the covers in a new mount namespace; False when one or more were refused."""
    if syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE) != 0:
        return False
    granted = True
    for cover in covers:
        granted &= _lay(cover)
    return granted


def hide_file(file: Path) -> None:
    """Lays the empty device over a file, where it can be seen and the kernel allows it."""
    if file.is_file():
        syscalls.mount("/dev/null", str(file.resolve()), "", syscalls.MS_BIND)


def own_proc() -> bool:
    """Mounts a /proc that shows the processes of this process namespace only."""
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    return syscalls.mount("proc", "/proc", "proc", flags) == 0


def _lay(cover: Cover) -> bool:
    """Lays one cover; one in which something needed cannot be shown is taken away again."""
    handles: dict[Path, int] = {}
    try:
        for path in cover.shown:
            handles[path] = os.open(path, os.O_PATH | os.O_CLOEXEC)
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        if syscalls.mount("tmpfs", str(cover.place), "tmpfs", flags, cover.options) != 0:
            return False
        if all(_show(path, handle) for path, handle in handles.items()):
            return True
        syscalls.unmount(str(cover.place))
        return False
    except OSError:
        return False
    finally:
        for handle in handles.values():
            os.close(handle)


def _show(path: Path, handle: int) -> bool:
    """Binds a folder back to its place in a cover."""
    with contextlib.suppress(OSError):
        path.mkdir(parents=True, exist_ok=True)
        bind = syscalls.MS_BIND | syscalls.MS_REC
        return syscalls.mount(f"/proc/self/fd/{handle}", str(path), "", bind) == 0
    return False


def _outermost(paths: Iterable[Path]) -> list[Path]:
    kept: list[Path] = []
    for path in sorted(set(paths), key=lambda p: p.parts):
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def homes() -> list[Path]:
    """Folders that hold users' homes."""
    return [Path(home) for home in _HOMES]
