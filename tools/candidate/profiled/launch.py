"""Runs a profiler's command under the candidate's account, and leaves nothing of it behind.

    python -m kernel_harness.tools.candidate.profiled.launch FILE     a ProfileLaunch as JSON

The profiler itself runs with the candidate's rights, so that nothing a candidate does, not even to
its own profiler, has the server's. A profiler attaches to its target by preloading a library and
over the loopback, and needs to read this package and its own; the steps of `sandbox/enter` that
would stand in between (namespaces of mounts and processes, landlock, seccomp) are therefore left
out, and reported as missing.

Some drivers give hardware counters to administrators only. Then, and only when asked and able, the
account keeps CAP_SYS_ADMIN and no other capability; that is reported too.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path

from ...messages.profiler import LaunchOutcome, ProfileLaunch, read_message, write_message
from ..sandbox import syscalls as kernel_calls
from ..sandbox.process_tree import descendants, kill_all

NOBODY = 65534
MAX_PROCESSES = 4096
MAX_FILE_BYTES = 8 << 30
MAX_CPU_S = 3600
SWEEPS = 1000
"""Rounds of ending what is left; more than a candidate can fork between two of them."""
_LEFT_OUT = ("pid", "ipc", "uts", "mount", "landlock", "seccomp")
_CAP_SYS_ADMIN = 21
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def enter(launch: ProfileLaunch) -> LaunchOutcome:
    """Gives up what this machine lets a profiler give up; each step is best effort."""
    granted: list[str] = []
    missing: list[str] = list(_LEFT_OUT)
    private = Path(launch.private_dir)
    root = os.geteuid() == 0

    def note(step: str, done: bool) -> None:
        (granted if done else missing).append(step)

    note("net", root and _own_network())
    note("private_home", os.access(private, os.W_OK))
    if launch.keep_counters:
        kernel_calls.prctl(_PR_SET_KEEPCAPS, 1)
    note("uid", root and _become_nobody(private, launch.command))
    if root:
        kept = launch.keep_counters and _keep_only_sys_admin()
        if kept:
            missing.append("capabilities (CAP_SYS_ADMIN is kept to read counters)")
        else:
            kernel_calls.drop_capabilities()
    note("no_new_privs", kernel_calls.forbid_new_privileges() == 0)
    note("rlimits", _limit())
    kernel_calls.die_with_parent()
    return LaunchOutcome(granted=granted, missing=missing)


def _own_network() -> bool:
    """Leaves the machine's network for one that has only its own loopback."""
    if kernel_calls.unshare(kernel_calls.CLONE_NEWNET) != 0:
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        flags = struct.unpack("16sH14s", answer)[1] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags, b""))
    return True


def _become_nobody(private: Path, command: list[str]) -> bool:
    """Takes the candidate's account, where that account can read what it must run."""
    needed = [Path(sys.prefix), Path(__file__).resolve().parents[1], private]
    needed += [Path(word) for word in command if word.startswith("/") and Path(word).exists()]
    if not all(_open_to_others(path.resolve()) for path in needed):
        return False
    for path in (private, *private.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    return True


def _open_to_others(path: Path) -> bool:
    """Whether any account can reach `path`; a folder of ours itself becomes the account's."""
    return all(folder.stat().st_mode & 0o001 for folder in path.parents)


def _keep_only_sys_admin() -> bool:
    """Reduces what is left of root's capabilities to CAP_SYS_ADMIN, and lets exec keep it."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    only = 1 << _CAP_SYS_ADMIN
    sets = (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)
    if libc.capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        return False
    arguments = [ctypes.c_ulong(n) for n in (_PR_CAP_AMBIENT_RAISE, _CAP_SYS_ADMIN, 0, 0)]
    return libc.prctl(ctypes.c_int(_PR_CAP_AMBIENT), *arguments) == 0


def _limit() -> bool:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: MAX_PROCESSES,
        resource.RLIMIT_FSIZE: MAX_FILE_BYTES,
        resource.RLIMIT_CPU: MAX_CPU_S,
    }
    for name, value in limits.items():
        _, hard = resource.getrlimit(name)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(name, (bound, bound))
        except (OSError, ValueError):
            return False
    return True


def keep(child: int) -> int:
    """Waits for the profiler, then ends whatever descends from it; its exit status.

    A candidate may leave a process behind in a session of its own. Orphans come to this process,
    which holds the rights of whoever started it and runs nothing of the candidate's.
    """
    try:
        _, status = os.waitpid(child, 0)
        return _exit_status(status)
    finally:
        for _ in range(SWEEPS):
            left = descendants(os.getpid())
            if not left:
                break
            kill_all(left)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _stop(number: int, frame: object) -> None:
    sys.exit(128 + number)


def main(arguments: list[str]) -> int:
    """Starts the command under the candidate's account and stays until all of it has ended."""
    launch = read_message(ProfileLaunch, Path(arguments[0]))
    kernel_calls.become_subreaper()
    signal.signal(signal.SIGTERM, _stop)
    kernel_calls.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    child = os.fork()
    if child:
        return keep(child)
    try:
        outcome = enter(launch)
        write_message(outcome, Path(launch.outcome_file))
        os.chdir(launch.private_dir)
        os.execvpe(launch.command[0], launch.command, dict(launch.environment))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(127)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
