"""Command report: the archive as pages, and what the traces of datasets amount to."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....tools.errors import RequestError
from ....tools.text import counted
from ..commands import SettingsOf, SettingsOptions, command_factory
from .folder import TakeNames, add_local, named_folders

if TYPE_CHECKING:
    from ....tools.datasets.ranking import Ranking
    from ....tools.datasets.trace_set import TraceSet
    from ....tools.harness import Harness

ACTIONS = ("archive", "summary", "best", "visualize", "merge", "html")


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    command = command_factory(commands, settings_options, settings_of)
    report = command("report", "write the archive as pages, or report a dataset's traces", _report)
    report.add_argument(
        "action",
        nargs="?",
        choices=ACTIONS,
        default="archive",
        help="archive, when left out: pages that open from a file; of FlashInfer-Trace folders: "
        "summary: totals and authors; best: solutions and the fastest on each workload; "
        "visualize: every trace, and the best of each definition; merge: all of them as one "
        "folder; html: a page",
    )
    report.add_argument(
        "folder", nargs="*", type=Path, help="of datasets; those of the settings when left out"
    )
    add_local(report)
    report.add_argument(
        *("--out", "--output"), type=Path, help="the folder; report/ in the data folder"
    )
    report.add_argument(
        "--definitions", nargs="+", action=TakeNames, default=[], help="report only these"
    )
    report.add_argument(
        "--max-abs-error", type=float, metavar="E", help="passes with larger errors are no best"
    )
    report.add_argument("--max-rel-error", type=float, metavar="E", help="likewise")


def _report(harness: Harness, arguments: argparse.Namespace) -> Any:
    action = arguments.action
    out = arguments.out or harness.settings.data_dir / "report"
    if action == "archive":
        from ....tools.archive.report.website import write_site
        from ..searching.reports import searches_text

        searches = searches_text(harness)
        return f"Open {write_site(harness.archive, out, harness.dataset, searches)}"
    sets = _sets(harness, named_folders(arguments))
    if action == "merge":
        return _merged(sets, arguments.out)
    ranking = _ranking(sets, arguments)
    if action == "html":
        from ....tools.datasets.report_page import write_page

        title = ", ".join(found.root.resolve().name for found in sets)
        return f"Open {write_page(ranking, out, title)}"
    from ....tools.datasets.report_lines import as_json, best_lines, summary_lines, trace_lines

    if arguments.json:
        return json.dumps(as_json(ranking), indent=1)
    lines_of = {"summary": summary_lines, "best": best_lines, "visualize": trace_lines}[action]
    return "\n".join([*lines_of(ranking), *_unreadable(sets)]).rstrip()


def _sets(harness: Harness, folders: list[Path]) -> list[TraceSet]:
    from ....tools.datasets.trace_set import read_trace_set

    chosen = folders or list(harness.settings.dataset)
    if not chosen:
        raise RequestError(
            "No dataset is named", remedy="Name FlashInfer-Trace folders after the action."
        )
    return [read_trace_set(folder) for folder in chosen]


def _ranking(sets: list[TraceSet], arguments: argparse.Namespace) -> Ranking:
    from ....tools.datasets.ranking import rank
    from ....tools.datasets.trace_set import joined

    return rank(
        joined(sets),
        definitions=arguments.definitions,
        max_absolute_error=arguments.max_abs_error,
        max_relative_error=arguments.max_rel_error,
    )


def _merged(sets: list[TraceSet], out: Path | None) -> str:
    from ....tools.datasets.merging import merge

    if out is None:
        raise RequestError("It is not said where to", remedy="Name a new folder with --out.")
    done = merge(sets, out)
    said = [
        f"Wrote {done.folder}: {counted(done.definitions, 'definition')}, "
        f"{counted(done.workloads, 'workload')}, "
        f"{done.solutions} solutions, {done.traces} traces."
    ]
    if done.repeated:
        said.append(f"Traces that several had: {done.repeated}, written once.")
    if done.missing:
        said.append(f"Tensor files that no dataset has: {len(done.missing)}, {done.missing[0]}.")
    return "\n".join(said)


def _unreadable(sets: list[TraceSet]) -> list[str]:
    faults = [f"{found.root}/{problem}" for found in sets for problem in found.problems]
    if not faults:
        return []
    words = f"Left out, {len(faults)} that cannot be read: {faults[0]}"
    return ["", f"{words}; `kernel-harness validate` lists all." if len(faults) > 1 else words]
