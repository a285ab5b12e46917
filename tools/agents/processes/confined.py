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
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ...confinement import landlock, syscalls
from ...confinement.process_tree import descendants, kill_all, stop_descendants
from ...process_control import die_with_parent, forbid_dumps

NOT_CONFINED = 125
NOT_STARTED = 127
WRITABLE_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class ConfinedCommand(BaseModel):
    """A command and what it may reach.

    Attributes:
        parent: process id of whoever started it.
        confine: refuse to start the command where the kernel cannot confine it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arguments: list[str]
    readable: list[str]
    writable: list[str]
    parent: int
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
    _, status = os.waitpid(child, 0)
    _kill_what_is_left()
    return os.waitstatus_to_exitcode(status) % 256


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
