"""A user's program: named on a command line, started, and watched while it is run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..collecting.user_program import run_to_end, stand_in
from ..errors import RequestError

FAILED = 2
"""Exit status when nothing was run, for an argument cannot be honoured."""


def run_as_main(program: Sequence[str], prepare: Callable[[], None]) -> int:
    """Runs a program in this process and returns its exit status.

    Args:
        program: a file or `-m` and a module, and its arguments.
        prepare: is called before, when what the program imports can be imported.

    Raises:
        RequestError: when the file or the module is not there.
    """
    stand_in(program)
    prepare()
    return run_to_end(program)


def run_python(words: Sequence[str], runner: str, arguments: Sequence[str]) -> None:
    """Runs one of our modules in the interpreter of a user's program.

    Args:
        words: of the program: an interpreter of Python's, and a file or `-m` and a module.
        runner: the module, by its whole name.
        arguments: of the module. What it and the program write goes to standard error.

    Raises:
        RequestError: when no program of Python's is named, or it fails.
    """
    command = command_of(words, runner, arguments)
    try:
        status = subprocess.run(command, stdout=sys.stderr.fileno(), check=False).returncode
    except OSError as error:
        raise not_started(words, error) from error
    if status == FAILED:
        raise RequestError("It came to nothing", remedy="What is written above says why.")
    if status:
        raise RequestError(
            f"The program ended with status {status}",
            remedy="Its own words are above. Where they say that kernel_harness is missing, "
            f"install it for that Python, as it is for {sys.executable}.",
        )


def command_of(words: Sequence[str], runner: str, arguments: Sequence[str]) -> list[str]:
    """The command that runs one of our modules in the interpreter of a user's program."""
    if len(words) < 2 or not Path(words[0]).name.startswith("python"):
        raise RequestError(
            "No program of Python's is named", remedy="Name Python and its file: python bench.py"
        )
    return [words[0], "-P", "-m", runner, *arguments]


def not_started(words: Sequence[str], error: OSError) -> RequestError:
    """Says that there is no such interpreter."""
    return RequestError(
        f"{error.filename or words[0]} cannot be used: {error.strerror}",
        remedy="Name an installed Python, and a folder that is there.",
    )
