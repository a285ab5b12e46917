"""Command rank-model: a program's operators by what can be won."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..commands import SettingsOf, SettingsOptions, fitted_to
from .program_arguments import add_program, add_step_options, program_of


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    help_text = "profile a program and rank its operators by what can be won"
    parser = commands.add_parser("rank-model", help=help_text, description=help_text)
    add_step_options(parser, 5, "steps that are timed, and as many that are profiled")
    parser.add_argument("--out", type=Path, help="a new file for the ranking as JSON")
    parser.add_argument("--json", action="store_true", help="print the ranking as JSON")
    add_program(parser)
    settings_options(parser)
    parser.set_defaults(run=lambda arguments: _rank(arguments, settings_of(arguments)))


def _rank(arguments: argparse.Namespace, settings: Any) -> int:
    from pydantic import TypeAdapter

    from ....tools.devices.calibration import calibration_folder
    from ....tools.errors import RequestError
    from ....tools.model_level.ranking.program_ranking import rank_program
    from ....tools.model_level.ranking.ranking import ModelRanking
    from ...answers.rankings import ranking_text

    if arguments.out is not None and arguments.out.exists():
        raise RequestError(f"{arguments.out} is in use", remedy="Name a new file.")
    ranking = rank_program(
        program_of(arguments),
        step=arguments.step,
        warmup=arguments.warmup,
        steps=arguments.steps,
        calibration=calibration_folder(settings),
    )
    written = TypeAdapter(ModelRanking).dump_json(ranking, indent=1).decode() + "\n"
    if arguments.out is not None:
        arguments.out.write_text(written, encoding="utf-8")
    said = written if arguments.json else fitted_to(sys.stdout, ranking_text(ranking)) + "\n"
    sys.stdout.write(said)
    return 0
