"""Runs a profiler's command under the candidate's account, and ends all that it started.

    python -m kernel_harness.tools.candidate.profiled.launch FILE     a ProfileLaunch as JSON

The profiler itself runs with the candidate's rights, so that nothing a candidate does, not even to
its own profiler, has the server's. `sandbox/enter` has the table of what it is confined by.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from pathlib import Path

from ... import process_control
from ...confinement import syscalls
from ...confinement.process_tree import descendants, kill_all
from ...messages.profiler import LaunchOutcome, ProfileLaunch, read_message, write_message
from ..sandbox.enter import enter, tool_confinement

ROUNDS = 1000
"""Rounds of ending what is left; more than a candidate can fork between two of them."""


def supervise(child: int) -> int:
    """Waits for the profiler, ends whatever descends from it, and returns its exit status.

    A candidate may leave a process behind in a session of its own. Orphans come to this process,
    which holds the rights of whoever started it and runs nothing of the candidate's.
    """
    try:
        _, status = os.waitpid(child, 0)
        return _exit_status(status)
    finally:
        for _ in range(ROUNDS):
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
    syscalls.become_subreaper()
    signal.signal(signal.SIGTERM, _stop)
    process_control.die_with_parent(number=signal.SIGTERM)
    child = os.fork()
    if child:
        return supervise(child)
    try:
        private = Path(launch.private_dir)
        report = enter(
            tool_confinement(private, launch.command, keep_counters=launch.keep_counters)
        )
        outcome = LaunchOutcome(granted=report.granted, missing=report.missing)
        write_message(outcome, Path(launch.outcome_file))
        os.chdir(launch.private_dir)
        os.execvpe(launch.command[0], launch.command, dict(launch.environment))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(127)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
