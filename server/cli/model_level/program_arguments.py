"""Arguments that commands on whole programs share."""

from __future__ import annotations

import argparse


def add_step_options(parser: argparse.ArgumentParser, steps: int, what: str) -> None:
    """Adds what says which calls are steps, and how many are looked at.

    Args:
        what: becomes of that many steps.
    """
    parser.add_argument(
        "--step",
        metavar="FUNCTION",
        help="whose calls are steps, as package.module.f; the outermost module's when left out",
    )
    parser.add_argument("--warmup", type=int, default=2, help="steps that are left alone; 2")
    parser.add_argument("--steps", type=int, default=steps, help=f"{what}; {steps}")


def add_program(parser: argparse.ArgumentParser) -> None:
    """Adds the program at the end of a command."""
    parser.add_argument(
        "program",
        nargs=argparse.REMAINDER,
        help="after --: python and the program's file or -m module, with its arguments",
    )


def program_of(arguments: argparse.Namespace) -> list[str]:
    """The words of the program."""
    words = list(arguments.program)
    return words[1:] if words[:1] == ["--"] else words
