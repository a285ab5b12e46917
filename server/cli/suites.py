"""Commands import and score: other people's benchmarks as operators, and their scores."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .commands import SettingsOf, SettingsOptions, command_factory

if TYPE_CHECKING:
    from ...tools.harness import Harness
    from ...tools.schema.evaluation import Evaluation
    from ...tools.suites.operator_folder import Imported

SUITE = (
    "whose form the tasks have: kernelbench, sol-execbench, gpu-mode, robust-kbench, kernelagent, "
    "autokernel, contest"
)
PICKS = ("best", "first", "last")


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the commands to a parser."""
    command = command_factory(commands, settings_options, settings_of)
    bring = command("import", "write the tasks of a benchmark as operators", _import)
    bring.add_argument("suite", help=SUITE)
    bring.add_argument("folder", type=Path, help="its checkout; its tasks' code is run")
    bring.add_argument("--out", type=Path, required=True, help="the folder of operators")
    bring.add_argument(
        "--level", type=int, action="append", default=[], help="import this level; all without any"
    )
    bring.add_argument(
        "--candidates",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="also write its files, level_1_problem_2_sample_0_kernel.py, beside their operators",
    )
    bring.add_argument(
        "--published-only",
        action="store_true",
        help="let the benchmark's tolerance decide alone, without the strict criterion",
    )
    bring.add_argument(
        "--reduce-by",
        type=int,
        metavar="N",
        help="divide the tasks' sizes by N, or by less where that does not fit; for the CPU",
    )
    score = command("score", "score of a benchmark, by what was evaluated here", _score)
    score.add_argument("suite", help=SUITE)
    score.add_argument("folder", type=Path, help="the folder of operators that import wrote")
    score.add_argument(
        "--pick", choices=PICKS, default="best", help="which verdict of a task counts"
    )
    score.add_argument("--solution", default="", help="a part of the solutions' names that count")
    score.add_argument("--gpu", default="", help="a part of the device's name: H200")
    score.add_argument(
        "--missing-fail", action="store_true", help="count tasks without a verdict as failed"
    )
    score.add_argument(
        "--picture", type=Path, metavar="FILE", help="also draw its curve: .svg, .png or .pdf"
    )


def _import(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.suites.table import suite_named

    options = {
        "levels": arguments.level,
        "candidates": arguments.candidates,
        "published_only": arguments.published_only,
        "reduce_by": arguments.reduce_by,
    }
    suite = suite_named(arguments.suite)
    imported = suite.import_folder(arguments.folder, arguments.out, options)
    return "\n".join(_said(imported))


def _said(imported: Imported) -> list[str]:
    count = len(imported.operators)
    said = [f"Wrote {imported.folder}: {count} operator{'s' * (count != 1)}."]
    if imported.candidates:
        said.append(f"Candidates written beside them: {len(imported.candidates)}.")
    said += [f"A weak task: {name}: {why}." for name, why in imported.warnings.items()]
    said += [f"Not imported: {name}: {why}." for name, why in imported.left_out.items()]
    return [*said, f"Use them with --dataset {imported.folder}, or KERNEL_HARNESS_DATASET."]


def _score(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.suites.scores.curve_plot import draw_curves
    from ...tools.suites.scores.outcomes import Counting, Pick
    from ...tools.suites.table import suite_named

    suite = suite_named(arguments.suite)
    unreadable: list[str] = []
    counting = Counting(
        Pick(arguments.pick), arguments.solution, arguments.gpu, arguments.missing_fail
    )
    records = _readable(harness, unreadable)
    score = suite.score(suite.name, arguments.folder, records, counting)
    if arguments.picture is not None:
        draw_curves(score.curves(), arguments.picture, suite.title, suite.threshold)
    if arguments.json:
        return json.dumps({**score.as_json(), "unreadable": unreadable}, indent=1)
    said = [f"Left out, for it cannot be read: record {name}." for name in unreadable]
    return "\n".join([*suite.lines(score, suite.title), *said])


def _readable(harness: Harness, unreadable: list[str]) -> Iterator[Evaluation]:
    """The records that can be read; notes the ids of the others."""
    from ...tools.errors import InfrastructureError

    for name in harness.records.ids():
        try:
            yield harness.records.get(name)
        except InfrastructureError:
            unreadable.append(name)
