"""Command validate: what is wrong with a FlashInfer-Trace dataset, by category."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....tools.errors import unknown_name
from ..commands import CommandResult, SettingsOf, SettingsOptions, command_factory, run_async
from .folder import TakeNames, of_folder

if TYPE_CHECKING:
    from ....tools.datasets.validation.report import Category, ValidationReport
    from ....tools.harness import Harness
    from ....tools.progress import OnProgress

EXIT_INVALID = 1
CATEGORIES = "layout, definition, workload, solution, trace, baseline, benchmark"


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    command = command_factory(commands, settings_options, of_folder(settings_of))
    validate = command("validate", "say what is wrong with a FlashInfer-Trace dataset", _validate)
    validate.add_argument(
        "folder", type=Path, nargs="?", help="of the dataset; or a report in JSON, to read as text"
    )
    validate.add_argument(
        "--checks",
        nargs="+",
        action=TakeNames,
        default=[],
        metavar="CATEGORY",
        help=f"of {CATEGORIES}; all but benchmark, which runs references and baselines",
    )
    for name in ("definitions", "op-types"):
        validate.add_argument(
            f"--{name}", nargs="+", action=TakeNames, default=[], help="only what is of these"
        )


def _validate(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ....tools.datasets.trace_set import read_trace_set
    from ....tools.datasets.validation.report import (
        STATIC,
        Category,
        read_report,
        report_lines,
        validate,
    )

    categories = _named(arguments.checks) or list(STATIC)
    if arguments.folder.is_file():
        report = read_report(arguments.folder)
    else:
        report = validate(
            read_trace_set(arguments.folder),
            categories=categories,
            definitions=arguments.definitions,
            op_types=arguments.op_types,
        )
        if Category.BENCHMARK in categories:
            report = _with_benchmark(harness, report)
    said = report.model_dump_json(indent=1) if arguments.json else "\n".join(report_lines(report))
    return CommandResult(said, EXIT_INVALID if report.errors else 0)


def _named(names: list[str]) -> list[Category]:
    from ....tools.datasets.validation.report import Category

    for name in names:
        if name not in list(Category):
            raise unknown_name("category", name, list(Category))
    return [Category(name) for name in names]


def _with_benchmark(harness: Harness, report: ValidationReport) -> ValidationReport:
    from ....tools.datasets.validation.benchmark_check import benchmark_findings
    from ....tools.datasets.validation.report import Category

    async def look(progress: OnProgress) -> ValidationReport:
        found = await benchmark_findings(
            harness.dataset,
            report.definitions,
            harness.evaluations,
            harness.operator_problems,
            progress,
        )
        return report.with_findings(Category.BENCHMARK, found)

    return run_async(harness, look)
