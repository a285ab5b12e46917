"""Commands validate and validate-render: what is wrong with a FlashInfer-Trace dataset."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....tools.errors import RequestError, unknown_name
from ..commands import CommandResult, SettingsOf, SettingsOptions, command_factory, run_async
from .folder import TakeListedNames, add_local, of_folders

if TYPE_CHECKING:
    from ....tools.datasets.validation.report import ValidationReport
    from ....tools.harness import Harness
    from ....tools.progress import OnProgress

EXIT_INVALID = 1
CATEGORIES = "layout, definition, workload, solution, trace, baseline, benchmark"


STDOUT = "stdout"
OUTPUTS = (STDOUT, "json", "text")


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the commands to a parser."""
    command = command_factory(commands, settings_options, of_folders(settings_of))
    validate = command(
        "validate", "say what is wrong with a FlashInfer-Trace dataset", _validate, ("dataset",)
    )
    validate.add_argument(
        "folder", type=Path, nargs="?", help="of the dataset; or a report in JSON, to read as text"
    )
    add_local(validate, "--dataset")
    validate.add_argument(
        "--checks",
        nargs="+",
        action=TakeListedNames,
        default=[],
        metavar="CATEGORY",
        help=f"of {CATEGORIES}; all but benchmark, which runs references and baselines",
    )
    for name in ("definitions", "op-types"):
        validate.add_argument(
            f"--{name}", nargs="+", action=TakeListedNames, default=[], help="only what is of these"
        )
    validate.add_argument(
        "--disable-gpu", action="store_true", help="run nothing: no benchmark, if it is named too"
    )
    validate.add_argument(
        "--outputs",
        nargs="+",
        action=TakeListedNames,
        default=[],
        metavar="OUTPUT",
        help="of stdout, and the files json and text; stdout, or all with --output-folder",
    )
    validate.add_argument(
        "--output-folder", type=Path, help="of report-<time>.json and .txt; reports/ in the dataset"
    )
    render = command_factory(commands, settings_options, settings_of)(
        "validate-render", "show a validation's report in JSON as text", _render
    )
    render.add_argument("report", type=Path, help="that validate wrote, or printed with --json")


def _validate(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ....tools.datasets.trace_set import read_trace_set
    from ....tools.datasets.validation.report import STATIC, Category, validate

    (folder,) = arguments.folder
    if folder.is_file():
        return _shown(folder, as_json=arguments.json)
    named = [Category(name) for name in _known("category", arguments.checks, list(Category))]
    categories = [c for c in named if c is not Category.BENCHMARK or not arguments.disable_gpu]
    if named and not categories:
        raise RequestError("Of the named checks --disable-gpu leaves none", remedy="Drop one.")
    outputs = _known("output", arguments.outputs, OUTPUTS)
    if not outputs:
        outputs = OUTPUTS if arguments.output_folder else (STDOUT,)
    report = validate(
        read_trace_set(folder),
        categories=categories or STATIC,
        definitions=arguments.definitions,
        op_types=arguments.op_types,
    )
    if Category.BENCHMARK in categories:
        report = _with_benchmark(harness, report)
    return _result_of(
        report, outputs, arguments.output_folder or folder / "reports", arguments.json
    )


def _known(word: str, names: Sequence[str], there: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in there:
            raise unknown_name(word, name, there)
    return names


def _result_of(
    report: ValidationReport, outputs: Sequence[str], folder: Path, as_json: bool
) -> CommandResult:
    """The report, written into the files that are asked for, and printed."""
    from ....tools.datasets.validation.report import write_report

    written = write_report(report, folder, json="json" in outputs, text="text" in outputs)
    said = [_words(report, as_json)] if STDOUT in outputs or as_json else []
    said += [] if as_json else [f"Wrote {path}." for path in written]
    return CommandResult("\n".join(said), EXIT_INVALID if report.errors else 0)


def _words(report: ValidationReport, as_json: bool) -> str:
    from ....tools.datasets.validation.report import report_lines

    return report.model_dump_json(indent=1) if as_json else "\n".join(report_lines(report))


def _render(harness: Harness, arguments: argparse.Namespace) -> CommandResult:
    return _shown(arguments.report, as_json=arguments.json)


def _shown(path: Path, *, as_json: bool) -> CommandResult:
    from ....tools.datasets.validation.report import read_report

    report = read_report(path)
    return CommandResult(_words(report, as_json), EXIT_INVALID if report.errors else 0)


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
