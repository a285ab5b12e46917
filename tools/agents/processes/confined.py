"""Runs a command that may write nowhere but in given folders, and ends all that it starts.

    python -P -m kernel_harness.tools.agents.processes.confined FILE

FILE is a `ConfinedCommand` as JSON. Two processes: this one, not confined, is the parent of
whatever the command leaves behind, and kills it when the command has ended, when it is told to end,
or when its own parent has gone; its child confines itself for good and becomes the command.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ...confinement import landlock, syscalls
from ...confinement.process_tree import descendants, kill_all, stop_descendants
from ...process_control import die_with_parent, forbid_dumps

NOT_CONFINED = 125
TOO_MANY_PROCESSES = 126
NOT_STARTED = 127
LOOKS_S = 0.1
LOOKS_BETWEEN = 50
"""Of so many looks one counts the processes, however few tasks the machine has."""
WRITABLE_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class ConfinedCommand(BaseModel):
    """A command and what it may reach.

    Attributes:
        parent: process id of whoever started it.
        processes: that it and all that it starts may have at once.
        confine: refuse to start the command where the kernel cannot confine it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arguments: list[str]
    readable: list[str]
    writable: list[str]
    parent: int
    processes: int
    confine: bool = True


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit status, 128 and more for a signal."""
    command = ConfinedCommand.model_validate_json(Path(arguments[0]).read_bytes())
    syscalls.become_subreaper()
    die_with_parent(command.parent, signal.SIGTERM)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    forbid_dumps()
    child = os.fork()
    if child == 0:
        _become(command)
    status = _waited_for(child, command.processes)
    _kill_what_is_left()
    if status is None:
        sys.stderr.write(f"\nIt had more than {command.processes} processes and was ended.\n")
        return TOO_MANY_PROCESSES
    return os.waitstatus_to_exitcode(status) % 256


def _waited_for(child: int, most: int) -> int | None:
    """A process's status when it has ended; None as soon as there are too many below this one.

    A limit of the kernel's would not do: root has none, and others share theirs with all that the
    user runs. How many tasks the machine has costs little to ask, and is asked often.
    """
    before, number = _tasks(), 0
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        number += 1
        many = _tasks() - before > most // 2
        if (many or number % LOOKS_BETWEEN == 0) and len(descendants(os.getpid())) > most:
            return None
        time.sleep(LOOKS_S)


def _tasks() -> int:
    """How many tasks the machine has; 0 where /proc does not say."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].rpartition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def _become(command: ConfinedCommand) -> None:
    """Confines this process and replaces it by the command; never returns."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.setsid()
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    syscalls.forbid_new_privileges()
    writable = [*map(Path, command.writable), *map(Path, WRITABLE_DEVICES)]
    if command.confine:
        syscalls.drop_capabilities()  # of root, who could read the memory of others with them
        if not landlock.restrict(map(Path, command.readable), writable, network=True):
            sys.stderr.write("The kernel has no Landlock: the agent was not started.\n")
            os._exit(NOT_CONFINED)
    try:
        os.execvp(command.arguments[0], command.arguments)
    except OSError as error:
        sys.stderr.write(f"{command.arguments[0]} does not start: {error.strerror}\n")
        os._exit(NOT_STARTED)


def _end(*given: Any) -> None:
    del given
    _kill_what_is_left()
    os._exit(128 + signal.SIGTERM)


def _kill_what_is_left() -> None:
    """Kills every descendant, however it detached itself: orphans are this process's children."""
    while left := stop_descendants([os.getpid()]) or descendants(os.getpid()):
        kill_all(left)
        try:
            while os.waitpid(-1, 0)[0]:
                continue
        except ChildProcessError:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
