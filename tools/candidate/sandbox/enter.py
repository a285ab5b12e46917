"""What a candidate process gives up before any of a candidate's code is loaded.

Each step is best effort, for machines differ in what they allow; what was granted and what is
missing is reported in these words and shown in every result:

    userns          an ordinary user's own namespace of users (asked for only when not root)
    pid             no process outside can be seen or signalled (CUDA does not start in one)
    net ipc uts     no network, no shared memory or host name of others
    mount           the checkout, homes and /tmp are covered; see `namespaces`
    private_home    home, temporary and cache folders are the process's own
    uid             it runs as another user than the judge and than any other candidate
    no_new_privs    nothing it executes raises its rights
    rlimits         bounds on processes, file sizes, open files, core dumps and processor time
    landlock        an allow-list of files; see `landlock`
    seccomp         a deny-list of system calls; see `seccomp`
    not_dumpable    its /proc entries belong to root

It knows nothing of candidates or verdicts. It cannot stop a device fault from reaching others that
share the device, nor make up for a kernel without these features.
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

from ...messages.candidate import Spawn
from . import landlock, namespaces, seccomp
from . import syscalls as kernel_calls

SKIP_VARIABLE = "KERNEL_HARNESS_SANDBOX_SKIP"
"""In `Spawn.environment`: steps to leave out, by comma, to find what a new driver cannot bear."""

SYSTEM_FOLDERS = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/opt", "/nix", "/proc", "/sys"),
    "/run/opengl-driver",
    "/run/nvidia-persistenced",
)
DEVICES = ("null", "zero", "full", "urandom", "random", "tty", "shm", "nvidia-caps")
_TOOLS = ("nvcc", "gcc", "g++", "c++", "ninja")
_FOLDER_VARIABLES = ("CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")


@dataclass
class SandboxReport:
    """Which steps took effect."""

    granted: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def note(self, step: str, granted: bool) -> bool:
        """Files a step under granted or missing, and says which."""
        (self.granted if granted else self.missing).append(step)
        return granted


def enter(
    spawn: Spawn, environment: dict[str, str], *, user_namespace: bool, own_processes: bool
) -> SandboxReport:
    """Carries out every step that this machine allows.

    Args:
        spawn: folders and bounds.
        environment: of the candidate; tells where its tools lie.
        user_namespace: whether the keeper is in a user namespace made for it.
        own_processes: whether it is in a process namespace.
    """
    outcome = SandboxReport()
    skipped = skipped_steps(environment)
    private = Path(spawn.private_dir)
    keeper = os.getppid()
    os.umask(0o022)

    def step(name: str, act: Callable[[], bool]) -> None:
        granted = False
        if name not in skipped:
            with contextlib.suppress(OSError, ValueError):
                granted = act()
        outcome.note(name, granted)

    if os.geteuid() != 0 or user_namespace:
        outcome.note("userns", user_namespace)
    outcome.note("pid", own_processes)
    _offer_to_the_oom_killer()
    user = _open_to_the_candidate(spawn)
    for name, flag in (
        ("net", kernel_calls.CLONE_NEWNET),
        ("ipc", kernel_calls.CLONE_NEWIPC),
        ("uts", kernel_calls.CLONE_NEWUTS),
    ):
        step(name, lambda flag=flag: kernel_calls.unshare(flag) == 0)
    if "uts" in outcome.granted:
        kernel_calls.set_host_name("candidate")
    needed = needed_folders(spawn, environment)
    step("mount", lambda: _new_view(needed, own_processes=own_processes))
    step("private_home", lambda: _make_home(private))
    step("uid", lambda: _become(user, needed))
    kernel_calls.drop_capabilities()
    step("no_new_privs", lambda: kernel_calls.forbid_new_privileges() == 0)
    step("rlimits", lambda: _limit(spawn))
    scratch = "mount" in outcome.granted
    step("landlock", lambda: _fence_files(private, needed, scratch=scratch))
    kernel_calls.die_with_parent(keeper)
    step("not_dumpable", lambda: kernel_calls.forbid_dumps() == 0)
    step("seccomp", seccomp.install)
    return outcome


def skipped_steps(environment: dict[str, str]) -> frozenset[str]:
    """Steps that the judge's environment leaves out."""
    return frozenset(filter(None, environment.get(SKIP_VARIABLE, "").split(",")))


def needed_folders(spawn: Spawn, environment: dict[str, str]) -> list[Path]:
    """Every folder that a candidate's tools read, as named and as resolved, where it exists."""
    named = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, spawn.private_dir]
    named += [spawn.cache_dir] if spawn.cache_dir else []
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
    """The checkout, or the installed package: what of ours a candidate need not see."""
    return Path(__file__).resolve().parents[3]


def _offer_to_the_oom_killer() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _open_to_the_candidate(spawn: Spawn) -> int:
    """Gives the private folder to the user that the candidate becomes; the cache it may read.

    Returns:
        That user.
    """
    if os.geteuid() != 0:
        return os.geteuid()
    private = Path(spawn.private_dir)
    user = namespaces.give_to_lone_user(private)
    for path in (private, *private.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)
    if spawn.cache_dir and Path(spawn.cache_dir).is_dir():
        Path(spawn.cache_dir).chmod(0o755)
    return user


def _new_view(needed: list[Path], *, own_processes: bool) -> bool:
    if kernel_calls.unshare(kernel_calls.CLONE_NEWNS) != 0:
        return False
    covered = {Path(place).resolve() for place in namespaces.SCRATCH}
    covered |= {*namespaces.homes(), _own_root(), *namespaces.closed_to_others(needed)}
    existing = frozenset(path for path in covered if path.is_dir())
    plan = namespaces.plan_covers(covered, needed, is_dir=existing)
    granted = namespaces.cover_file_system(plan)
    if own_processes:
        namespaces.own_proc()
    return granted


def _make_home(private: Path) -> bool:
    probe = private / ".probe"
    probe.mkdir()
    probe.rmdir()
    return True


def _become(user: int, needed: list[Path]) -> bool:
    if os.geteuid() != 0:
        return False
    if not all(_open_to_others(path) for path in needed):
        return False
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    return True


def _open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _limit(spawn: Spawn) -> bool:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: spawn.max_processes,
        resource.RLIMIT_FSIZE: spawn.max_file_bytes,
        resource.RLIMIT_NOFILE: 4096,
        resource.RLIMIT_CPU: 3600,
    }
    if spawn.memory_bytes is not None and not spawn.cuda:
        limits[resource.RLIMIT_DATA] = spawn.memory_bytes
    for name, value in limits.items():
        _, hard = resource.getrlimit(name)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (bound, bound))
    return True


def _fence_files(private: Path, needed: list[Path], *, scratch: bool) -> bool:
    readable = [*map(Path, SYSTEM_FOLDERS), *(p for p in needed if p != private)]
    devices = [*(Path("/dev", name) for name in DEVICES), *Path("/dev").glob("nvidia*")]
    writable = [private, Path(f"/proc/{os.readlink('/proc/self')}"), *devices]
    if scratch:
        writable += map(Path, namespaces.SCRATCH)
    return landlock.restrict(readable, writable)
