"""The archive at a terminal: log, show, diff, best, a site to read, and summaries recomputed.

Each command opens the Harness, asks one question and prints the answer in colour; none judges.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..tools.harness import Harness
    from ..tools.settings import Settings

SettingsOf = Callable[[argparse.Namespace], "Settings"]


def add_commands(
    commands: Any,
    settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: SettingsOf,
) -> None:
    """Adds the archive's commands to a parser.

    Args:
        commands: what `add_subparsers` gave.
        settings_options: adds the options that choose settings.
        settings_of: makes the settings of parsed arguments.
    """

    def command(name: str, words: str, act: Callable[[Harness, argparse.Namespace], Any]) -> Any:
        parser = commands.add_parser(name, help=words, description=words)
        settings_options(parser)
        parser.set_defaults(run=lambda arguments: _run(act, settings_of(arguments), arguments))
        return parser

    log = command("log", "the search tree, coloured by outcome", _log)
    log.add_argument("definition", nargs="?")
    log.add_argument("--limit", type=int, default=200)
    best = command("best", "the best candidates of each operator and device", _best)
    best.add_argument("definition", nargs="?")
    best.add_argument("--count", type=int, default=5)
    show = command("show", "one candidate: verdict, lineage, workloads", _show)
    show.add_argument("candidate")
    diff = command("diff", "the kernel change from one candidate to another", _diff)
    diff.add_argument("candidate")
    diff.add_argument("other", nargs="?", help="its first parent when left out")
    report = command("report", "write the archive as pages that open from a file", _report)
    report.add_argument("--out", type=Path, default=Path("site"))
    recompute = command("recompute", "derive a record's summaries again from its samples", _again)
    recompute.add_argument("evaluation_id")


def _run(
    act: Callable[[Harness, argparse.Namespace], Any],
    settings: Settings,
    arguments: argparse.Namespace,
) -> int:
    from rich.console import Console

    from ..tools.harness import Harness

    harness = Harness.open(settings)
    try:
        answer = act(harness, arguments)
    finally:
        harness.archive.close()
    Console(highlight=False, soft_wrap=True).print(answer)
    return 0


def _name(harness: Harness, arguments: argparse.Namespace) -> str | None:
    given = arguments.definition
    return harness.dataset.operator(given).definition.name if given else None


def _log(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ..tools.archive import terminal

    return terminal.log(harness.archive, _name(harness, arguments), arguments.limit)


def _best(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ..tools.archive import terminal

    return terminal.best(harness.archive, _name(harness, arguments), arguments.count)


def _show(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ..tools.archive import terminal

    return terminal.show(harness.archive, arguments.candidate)


def _diff(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ..tools.archive import terminal

    other = arguments.other
    if other is not None:
        return terminal.diff(harness.archive, arguments.candidate, other)
    parents = harness.archive.node(arguments.candidate).parents
    if not parents:
        return f"{arguments.candidate} has no parent to differ from."
    return terminal.diff(harness.archive, parents[0], arguments.candidate)


def _report(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ..tools.archive.report import write_site

    return f"Open {write_site(harness.archive, arguments.out, harness.dataset)}"


def _again(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ..tools.evaluation.comparison import summarised

    record = harness.records.get(arguments.evaluation_id)
    floor = record.evidence.noise_floor or {}
    again = summarised(record, {name: value for name, value in floor.items() if _is_number(value)})
    rows = _differing(record.totals.model_dump(), again.totals.model_dump())
    head = f"{record.evaluation_id}: {record.status}, {len(record.workloads)} workloads"
    if not rows:
        return f"{head}\nEvery summary follows from the raw samples."
    return "\n".join([head, "Summaries that do not follow from the raw samples:", *rows])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _differing(recorded: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    return [
        f"  {name}: recorded {recorded[name]}, recomputed {again[name]}"
        for name in recorded
        if recorded[name] != again[name]
    ]
