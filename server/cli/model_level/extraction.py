"""Command extract-operator: a ranked row of a program as an operator's folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....tools.text import counted
from ..commands import SettingsOf, SettingsOptions, write_found
from .program_arguments import add_program, program_of

if TYPE_CHECKING:
    from ....tools.model_level.extraction.extracted_operator import ExtractedOperator

MADE_OF = {"source": "its own code", "graph": "the graph that torch traced of it"}


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    help_text = "run a program and write a row of its ranking as an operator"
    parser = commands.add_parser("extract-operator", help=help_text, description=help_text)
    parser.add_argument(
        "--ranking", type=Path, required=True, help="the file that rank-model --out wrote"
    )
    parser.add_argument("--row", type=int, default=1, help="of the ranking; the first")
    parser.add_argument("--block", action="store_true", help="the row is one of the blocks")
    parser.add_argument(
        "--out", type=Path, required=True, help="a folder of operators; one is made in it"
    )
    parser.add_argument("--name", help="of the operator; after the function when left out")
    parser.add_argument("--step", metavar="FUNCTION", help="as for rank-model")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    add_program(parser)
    parser.set_defaults(run=_extract)


def _extract(arguments: argparse.Namespace) -> int:
    from ....tools.model_level.extraction.operator_extraction import extract_operator, ranked_row

    done = extract_operator(
        program_of(arguments),
        ranked_row(arguments.ranking, arguments.row, block=arguments.block),
        arguments.out,
        name=arguments.name,
        step=arguments.step,
    )
    write_found(done, extracted_text, as_json=arguments.json)
    return 0


def extracted_text(done: ExtractedOperator) -> str:
    """What was written, and how a kernel of it goes back into the program."""
    lines = [
        f"Wrote {done.folder}: {counted(done.workloads, 'workload')} of "
        f"{counted(done.calls, 'call')}. Its reference is "
        f"{MADE_OF[done.reference]}, and gives what the sampled calls gave."
    ]
    if done.others:
        lines.append(f"Calls of {done.others} other forms are not in it.")
    if done.target is None:
        lines.append("It is of the program's own file: move it into a module to apply a kernel.")
    else:
        inputs = ", ".join(f"{name}: {said}" for name, said in (done.target.inputs or {}).items())
        lines.append(f"It stands for {done.target.target}, with {inputs}.")
    folder = Path(done.folder)
    lines.append(f"Next: kernel-harness check {folder.name} --dataset {folder.parent}")
    return "\n".join(lines)
