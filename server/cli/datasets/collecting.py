"""Command collect: a dataset of what a program's functions are called with."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from ....tools.errors import RequestError
from ..commands import SettingsOf, SettingsOptions

RUNNER = "kernel_harness.tools.collecting.run_program"
NOTHING_RUN, SIGNALLED = 2, 128
QUIET: Any = {"check": False, "stderr": subprocess.DEVNULL}


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    help_text = "run a program and write what its functions are called with as a dataset"
    parser = commands.add_parser("collect", help=help_text, description=help_text)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        help="a function, method, module class or operator of torch to record, as "
        "package.module.function; may be repeated (default: the parts of the program that call "
        "no other part and take at least a hundredth of the time)",
    )
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="of the calls that are recorded, as 0.01 (default: all); the others cost a counter",
    )
    parser.add_argument(
        "program",
        nargs=argparse.REMAINDER,
        help="after --: python and the program's file or -m module, with its arguments",
    )
    parser.set_defaults(run=_collect)


def _collect(arguments: argparse.Namespace) -> int:
    words = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
    if len(words) < 2 or not Path(words[0]).name.startswith("python"):
        raise RequestError(
            "No program of Python's is named",
            remedy="End with it: kernel-harness collect --out DATASET --target my_package.layers"
            ".norm -- python my_program.py",
        )
    python, *program = words
    command = [python, "-P", "-m", RUNNER, str(arguments.out), str(arguments.share)]
    command.append(",".join(arguments.target))
    try:
        status = subprocess.run([*command, *program], check=False).returncode
    except OSError as error:
        raise RequestError(
            f"{python} cannot be started: {error.strerror}", remedy="Name an installed Python."
        ) from error
    if status < 0:
        status = SIGNALLED - status  # as a shell says it
    if status not in (0, NOTHING_RUN) and not arguments.out.exists():
        if subprocess.run([python, "-P", "-c", "import kernel_harness"], **QUIET).returncode:
            raise RequestError(
                f"{python} has no kernel-harness, which records within the program",
                remedy=f"Install it there, or name one that has it: {sys.executable}",
            )
        sys.stderr.write(
            f"Nothing was written: the program ended with {status}, by os._exit or a signal that "
            "leaves no time for it. End it by sys.exit, SIGINT or SIGTERM.\n"
        )
    return status
