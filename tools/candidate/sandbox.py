"""What a candidate process gives up before any of a candidate's code is loaded.

Each step is best effort, for machines differ in what they allow; what was granted and what is
missing is reported in stable words, and shown in every result. Steps, in order: `userns` (for an
ordinary user only), `net`, `ipc`, `uts`, `mount`, `pid`, `private_home`, `uid`,
`no_new_privs`, `rlimits`, `landlock`, `seccomp`, `not_dumpable`.

It knows nothing of candidates or verdicts. It cannot stop a device fault from reaching others that
share the device, nor hide time, nor make up for a kernel without these features.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ..wire import Spawn
from . import kernel_calls

NOBODY = 65534
SKIP_VARIABLE = "KERNEL_HARNESS_SANDBOX_SKIP"
"""In `Spawn.environment`: steps to leave out, by comma, to find what a new driver cannot bear."""


@dataclass
class Outcome:
    """Which steps took effect."""

    granted: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def note(self, step: str, granted: bool) -> bool:
        """Files a step under granted or missing, and says which."""
        (self.granted if granted else self.missing).append(step)
        return granted


def enter(spawn: Spawn, environment: dict[str, str], *, own_processes: bool) -> Outcome:
    """Carries out every step that this machine allows."""
    outcome = Outcome()
    private = Path(spawn.private_dir)
    keeper = os.getppid()
    outcome.note("pid", own_processes)
    outcome.note("private_home", os.access(private, os.W_OK))
    outcome.note("uid", _become_nobody(private))
    outcome.note("no_new_privs", kernel_calls.forbid_new_privileges() == 0)
    outcome.note("rlimits", _limit(spawn))
    kernel_calls.die_with_parent(keeper)
    outcome.note("not_dumpable", kernel_calls.forbid_dumps() == 0)
    return outcome


def _become_nobody(private: Path) -> bool:
    if os.geteuid() != 0 or not _readable_by_others(Path(sys.prefix)):
        return False
    os.chown(private, NOBODY, NOBODY)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    return True


def _readable_by_others(path: Path) -> bool:
    real = path.resolve()
    return all(p.stat().st_mode & 0o005 == 0o005 for p in (real, *real.parents))


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
    granted = True
    for name, value in limits.items():
        try:
            _, hard = resource.getrlimit(name)
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(name, (bound, bound))
        except (ValueError, OSError):
            granted = False
    return granted
