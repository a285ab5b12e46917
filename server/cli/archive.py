"""The archive at a terminal: log, show, diff, best, and a site to read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .commands import SettingsOf, SettingsOptions, adder

if TYPE_CHECKING:
    from ...tools.harness import Harness

WHICH = "a definition, or a unique part of its name; all without it"


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the archive's commands; see `cli_harness.adder` for the arguments."""
    command = adder(commands, settings_options, settings_of)
    log = command("log", "the search tree, coloured by outcome", _log)
    log.add_argument("definition", nargs="?", help=WHICH)
    log.add_argument("--limit", type=int, default=200, help="most candidates shown; 200")
    best = command("best", "the best candidates of each operator and device", _best)
    best.add_argument("definition", nargs="?", help=WHICH)
    best.add_argument("--count", type=int, default=5, help="how many of each; 5")
    show = command("show", "one candidate: verdict, lineage, workloads", _show)
    show.add_argument("candidate", help="its id, or a beginning of it")
    diff = command("diff", "the kernel change from one candidate to another", _diff)
    diff.add_argument("candidate", help="its id, or a beginning of it")
    diff.add_argument("other", nargs="?", help="its first parent when left out")
    report = command("report", "write the archive as pages that open from a file", _report)
    report.add_argument("--out", type=Path, help="the folder; report/ in the data folder")


def _name(harness: Harness, arguments: argparse.Namespace) -> str | None:
    given = arguments.definition
    return harness.dataset.operator(given).definition.name if given else None


def _log(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.report import terminal

    return terminal.log(harness.archive, _name(harness, arguments), arguments.limit)


def _best(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.report import terminal

    return terminal.best(harness.archive, _name(harness, arguments), arguments.count)


def _show(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.report import terminal

    return terminal.show(harness.archive, arguments.candidate)


def _diff(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.report import terminal

    other = arguments.other
    if other is not None:
        return terminal.diff(harness.archive, arguments.candidate, other)
    parents = harness.archive.node(arguments.candidate).parents
    if not parents:
        return f"{arguments.candidate} has no parent to differ from."
    return terminal.diff(harness.archive, parents[0], arguments.candidate)


def _report(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.report.website import write_site

    folder = arguments.out or harness.settings.data_dir / "report"
    return f"Open {write_site(harness.archive, folder, harness.dataset)}"
