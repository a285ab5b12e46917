"""Confinement of a process before any of a candidate's code is loaded.

Each step is best effort, for machines differ in what they allow. Which steps took effect is
reported in these words and shown in every result; a step that is left out counts as missing:

    step           what it does                                          under a tool
    userns         an ordinary user's own user namespace (not for root)  left out
    pid            own process namespace (CUDA does not start in one)    left out
    net            no network                                            own loopback only
    ipc uts        no shared memory or host name of others               left out
    mount          checkout, homes and /tmp are covered (`namespaces`)   left out
    private_home   home, temporary and cache folders are its own         yes
    uid            an account that no other process has                  the account nobody
    no_new_privs   nothing it executes raises its rights                 yes
    rlimits        processes, file sizes, core dumps, processor time     wider
    landlock       allow-list of files (`landlock`)                      left out
    not_dumpable   its /proc entries belong to root                      left out
    seccomp        deny-list of system calls (`seccomp`)                 left out
    signing_key    the key that records are signed with cannot be read   not tried

A step that cannot be taken is undone, so that all others are taken as if it were left out.

"Under a tool" is a profiler with the process that it profiles: it attaches by a preloaded library
and over the loopback, and reads its own installation and this package. All capabilities are
dropped; a profiler keeps CAP_SYS_ADMIN, alone, where the driver gives counters to administrators
only.

The module knows nothing of candidates or verdicts. It cannot stop a device fault from reaching
others that share the device, nor make up for a kernel without these features.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ... import process_control
from ...confinement import landlock, syscalls
from ...messages.zygote import Spawn
from . import namespaces, seccomp

SKIP_VARIABLE = "KERNEL_HARNESS_SANDBOX_SKIP"
"""In `Spawn.environment`: steps to leave out, by comma, to find what a new driver cannot bear."""

SYSTEM_FOLDERS = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/opt", "/nix", "/proc", "/sys"),
    "/run/opengl-driver",
    "/run/nvidia-persistenced",
)
DEVICES = ("null", "zero", "full", "urandom", "random", "tty", "shm", "nvidia-caps")
LEFT_OUT_UNDER_A_TOOL = frozenset(
    {"userns", "pid", "ipc", "uts", "mount", "landlock", "not_dumpable", "seccomp"}
)
CPU_SECONDS = 3600
_TOOLS = ("nvcc", "gcc", "g++", "c++", "ninja")
_FOLDER_VARIABLES = ("CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")


@dataclass
class SandboxReport:
    """Which steps took effect."""

    granted: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def note(self, step: str, granted: bool) -> None:
        """Files a step under granted or missing."""
        (self.granted if granted else self.missing).append(step)


@dataclass(frozen=True)
class Confinement:
    """The confinement of one process.

    Args:
        private: the only folder that it may write; becomes its account's.
        needed: every file and folder that its account must be able to read.
        limits: resource limits.
        left_out: steps that are not taken.
        user_namespace: whether its parent is in a user namespace made for it.
        own_processes: whether its parent is in a process namespace made for it.
        under_a_tool: whether it gets a loopback, and the account nobody.
        keep_counters: whether it keeps CAP_SYS_ADMIN.
        signing_key: a file that it must not be able to read.
    """

    private: Path
    needed: list[Path]
    limits: dict[int, int]
    left_out: frozenset[str] = frozenset()
    user_namespace: bool = False
    own_processes: bool = False
    under_a_tool: bool = False
    keep_counters: bool = False
    signing_key: Path | None = None


def candidate_confinement(
    spawn: Spawn, environment: dict[str, str], *, user_namespace: bool, own_processes: bool
) -> Confinement:
    """Every restriction that this machine allows.

    Args:
        spawn: folders and bounds.
        environment: of the candidate; tells where its tools lie.
        user_namespace: whether the supervisor is in a user namespace made for it.
        own_processes: whether it is in a process namespace.
    """
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: spawn.max_processes,
        resource.RLIMIT_FSIZE: spawn.max_file_bytes,
        resource.RLIMIT_NOFILE: 4096,
        resource.RLIMIT_CPU: CPU_SECONDS,
    }
    if spawn.memory_bytes is not None and not spawn.cuda:
        limits[resource.RLIMIT_DATA] = spawn.memory_bytes
    return Confinement(
        private=Path(spawn.private_dir),
        needed=needed_folders(spawn, environment),
        limits=limits,
        left_out=skipped_steps(environment),
        user_namespace=user_namespace,
        own_processes=own_processes,
        signing_key=Path(spawn.signing_key) if spawn.signing_key else None,
    )


def tool_confinement(private: Path, command: list[str], *, keep_counters: bool) -> Confinement:
    """The restrictions under which a profiler still works.

    Args:
        private: folder of the run.
        command: the profiler's; files that it names must be readable.
        keep_counters: whether to keep CAP_SYS_ADMIN.
    """
    named = [Path(word) for word in command if word.startswith("/") and Path(word).exists()]
    return Confinement(
        private=private,
        needed=[path.resolve() for path in (Path(sys.prefix), _own_root() / "tools", *named)],
        limits={
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_NPROC: 4096,
            resource.RLIMIT_FSIZE: 8 << 30,
            resource.RLIMIT_CPU: CPU_SECONDS,
        },
        left_out=LEFT_OUT_UNDER_A_TOOL,
        under_a_tool=True,
        keep_counters=keep_counters,
    )


def enter(confinement: Confinement) -> SandboxReport:
    """Confines this process by every step that this machine allows; it cannot be undone."""
    report = SandboxReport()
    private, needed = confinement.private, confinement.needed
    parent = os.getppid()
    os.umask(0o022)

    def step(name: str, act: Callable[[], bool]) -> None:
        granted = False
        if name not in confinement.left_out:
            with contextlib.suppress(OSError, ValueError):
                granted = act()
        report.note(name, granted)

    if os.geteuid() != 0 or confinement.user_namespace:
        report.note("userns", confinement.user_namespace)
    report.note("pid", confinement.own_processes)
    _offer_to_the_oom_killer()
    step("net", lambda: _own_network(loopback=confinement.under_a_tool))
    step("ipc", lambda: syscalls.unshare(syscalls.CLONE_NEWIPC) == 0)
    step("uts", _own_host_name)
    step("mount", lambda: _new_view(confinement))
    step("private_home", lambda: _make_home(private))
    syscalls.keep_capabilities_with_account()  # until they are given up
    step("uid", lambda: _change_account(confinement))
    if (kept := _give_up_capabilities(confinement)) is not None:
        report.note(f"capabilities ({kept})", False)
    step("no_new_privs", lambda: syscalls.forbid_new_privileges() == 0)
    step("rlimits", lambda: _limit(confinement.limits))
    scratch = "mount" in report.granted
    step("landlock", lambda: _allow_files(private, needed, scratch=scratch))
    process_control.die_with_parent(parent)
    step("not_dumpable", lambda: process_control.forbid_dumps() == 0)
    step("seccomp", seccomp.install)
    if (key := confinement.signing_key) is not None:
        report.note("signing_key", not _readable(key))
    return report


def skipped_steps(environment: dict[str, str]) -> frozenset[str]:
    """Steps that the judge's environment leaves out."""
    return frozenset(filter(None, environment.get(SKIP_VARIABLE, "").split(",")))


def needed_folders(spawn: Spawn, environment: dict[str, str]) -> list[Path]:
    """Every folder that a candidate's tools read, as named and as resolved, where it exists."""
    named = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, spawn.private_dir]
    for variable in _FOLDER_VARIABLES:
        named += environment.get(variable, "").split(os.pathsep)
    for tool in _TOOLS:
        found = shutil.which(tool, path=environment.get("PATH"))
        if found:
            named.append(str(Path(found).resolve().parent.parent))
    checkout = _own_root()
    folders: set[Path] = set()
    for name in filter(None, named):
        path = Path(os.path.abspath(name))
        for form in (path, path.resolve()):
            if form.is_dir() and form not in (Path("/"), checkout, Path.cwd()):
                folders.add(form)
    return sorted(folders)


def _own_root() -> Path:
    """The folder of the checkout, or of the installed package, which a candidate need not see."""
    return Path(__file__).resolve().parents[3]


def _offer_to_the_oom_killer() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _own_network(*, loopback: bool) -> bool:
    if syscalls.unshare(syscalls.CLONE_NEWNET) != 0:
        return False
    if loopback:
        with contextlib.suppress(OSError):
            namespaces.start_loopback()
    return True


def _own_host_name() -> bool:
    if syscalls.unshare(syscalls.CLONE_NEWUTS) != 0:
        return False
    syscalls.set_host_name("candidate")
    return True


def _new_view(confinement: Confinement) -> bool:
    if syscalls.unshare(syscalls.CLONE_NEWNS) != 0:
        return False
    needed, key = confinement.needed, confinement.signing_key
    covered = {Path(place).resolve() for place in namespaces.SCRATCH}
    covered |= {*namespaces.homes(), _own_root(), *namespaces.closed_to_others(needed)}
    existing = frozenset(path for path in covered if path.is_dir())
    plan = namespaces.plan_covers(covered, needed, is_dir=existing)
    granted = namespaces.cover_file_system(plan)
    if key is not None:
        namespaces.hide_file(key)
    return granted and (namespaces.own_proc() if confinement.own_processes else True)


def _readable(file: Path) -> bool:
    """Whether this process can read anything of a file."""
    with contextlib.suppress(OSError), file.open("rb") as stream:
        return bool(stream.read(1))
    return False


def _make_home(private: Path) -> bool:
    probe = private / ".probe"
    probe.mkdir()
    probe.rmdir()
    return True


def _change_account(confinement: Confinement) -> bool:
    """Changes the account, which gets the private folder; False when it could not read enough."""
    private = confinement.private
    if os.geteuid() != 0:
        return False
    others = [path for path in confinement.needed if path != private]
    if not all(map(_open_to_others, [*private.parents[:1], *others])):
        return False
    user = namespaces.NOBODY
    given = [private, *private.rglob("*")]
    try:
        if not confinement.under_a_tool:
            user = namespaces.give_to_lone_user(private)
        for path in given:
            os.chown(path, user, user, follow_symlinks=False)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:  # it stays who it was, and its folder with it
        with contextlib.suppress(OSError):
            os.setresgid(0, 0, 0)
        for path in given:
            with contextlib.suppress(OSError):
                os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
        return False
    return True


def _open_to_others(path: Path) -> bool:
    """Whether any account can reach a file or enter a folder, and read what is installed in it."""
    folders = (path, *path.parents) if path.is_dir() else path.parents
    if not all(folder.stat().st_mode & 0o001 for folder in folders):
        return False
    return not path.name.endswith("-packages") or all(
        (entry.stat().st_mode & needed_bits) == needed_bits
        for entry in path.iterdir()
        if not entry.is_symlink() and (needed_bits := 0o005 if entry.is_dir() else 0o004)
    )


def _give_up_capabilities(confinement: Confinement) -> str | None:
    """Drops every capability that this process can do without; what it keeps, in words, or None."""
    if confinement.keep_counters and syscalls.keep_only(syscalls.CAP_SYS_ADMIN):
        return "CAP_SYS_ADMIN is kept to read counters"
    if os.geteuid() == 0 and not all(map(_open_to_root, confinement.needed)):
        # Folders of another user's, as those of a home that a container was given.
        for name, number in syscalls.READ_ANYTHING.items():
            if syscalls.keep_only(number):
                return f"{name} is kept to read what others own"
    return "they could not be dropped" if syscalls.drop_capabilities() != 0 else None


def _open_to_root(path: Path) -> bool:
    """Whether user 0 can enter a folder without any capability, by its modes alone."""
    with contextlib.suppress(OSError):
        for folder in (path, *path.parents):
            found = folder.stat()
            bit = 0o100 if found.st_uid == 0 else 0o010 if found.st_gid == 0 else 0o001
            if not found.st_mode & bit:
                return False
        return True
    return False


def _limit(limits: dict[int, int]) -> bool:
    for name, value in limits.items():
        _, hard = resource.getrlimit(name)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (bound, bound))
    return True


def _allow_files(private: Path, needed: list[Path], *, scratch: bool) -> bool:
    readable = [*map(Path, SYSTEM_FOLDERS), *(p for p in needed if p != private)]
    devices = [*(Path("/dev", name) for name in DEVICES), *Path("/dev").glob("nvidia*")]
    writable = [private, Path(f"/proc/{os.readlink('/proc/self')}"), *devices]
    if scratch:
        writable += map(Path, namespaces.SCRATCH)
    return landlock.restrict(readable, writable)
