"""A user's program: named on a command line, and run as if it had been started by itself."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

FAILED = 2
"""Exit status when nothing was run, for an argument cannot be honoured."""


def run_as_main(program: Sequence[str], prepare: Callable[[], None]) -> int:
    """Runs a program in this process and returns its exit status.

    Args:
        program: a file or `-m` and a module, and its arguments.
        prepare: is called before, when what the program imports can be imported.
    """
    by_module = program[0] == "-m"
    sys.argv = list(program[1:] if by_module else program)
    sys.path.insert(0, str(Path.cwd() if by_module else Path(program[0]).resolve().parent))
    prepare()
    try:
        if by_module:
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    return 0
