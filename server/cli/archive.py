"""Commands on the archive: log, best, show, diff, and its transfer between machines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .commands import CommandResult, SettingsOf, SettingsOptions, command_factory

if TYPE_CHECKING:
    from ...tools.archive.store.transfer import Transfer
    from ...tools.harness import Harness

REFS_SHOWN = 20

EXIT_DIFFERING = 1

WHICH = "a definition, or a unique part of its name; all without it"


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the archive's commands to a parser."""
    command = command_factory(commands, settings_options, settings_of)
    log = command("log", "the search tree, coloured by outcome", _log)
    log.add_argument("definition", nargs="?", help=WHICH)
    log.add_argument("--limit", type=int, default=200, help="most candidates shown; 200")
    log.add_argument("--trials", action="store_true", help="all that was judged, archived or not")
    best = command("best", "the best candidates of each operator and device", _best)
    best.add_argument("definition", nargs="?", help=WHICH)
    best.add_argument("--count", type=int, default=5, help="how many of each; 5")
    show = command("show", "one candidate: verdict, lineage, workloads", _show)
    show.add_argument("candidate", help="its id, or a beginning of it; of a trial, 'ev-…'")
    diff = command("diff", "the kernel change from one candidate to another", _diff)
    diff.add_argument("candidate", help="its id, or a beginning of it")
    diff.add_argument("other", nargs="?", help="its first parent when left out")
    plans = command("plans", "ideas told before they were written, and what came of them", _plans)
    plans.add_argument("definition", nargs="?", help=WHICH)
    plans.add_argument("--limit", type=int, default=50, help="most plans shown; 50")
    _add_transfers(command)


def _add_transfers(command: Any) -> None:
    bundle = command("bundle", "write the whole archive into one file", _bundle)
    bundle.add_argument("file", type=Path, help="the file to write")
    fetch = command("fetch", "bring in another archive: a URL, a folder or a bundle", _fetch)
    fetch.add_argument("source", help="where the other archive is")
    for carrying in (bundle, fetch):
        carrying.add_argument("--trials", action="store_true", help="with those not archived")
    fetch.add_argument("--name", default="origin", help="what its refs are filed under here")
    push = command("push", "send the archive to another repository", _push)
    push.add_argument("target", help="a URL or a folder: a git repository")
    push.add_argument("--trials", action="store_true", help="with those not archived")
    tidy = command("tidy", "say what trials weigh, drop old ones by rule, pack the archive", _tidy)
    tidy.add_argument("--dry-run", action="store_true", help="only say what would go")
    command("rebuild-index", "delete the index and read git again", _rebuild)


def _name(harness: Harness, arguments: argparse.Namespace) -> str | None:
    given = arguments.definition
    return harness.dataset.operator(given).definition.name if given else None


def _log(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.report import terminal
    from ...tools.archive.store.trials.words import trial_list

    if arguments.trials:
        return trial_list(harness.archive, _name(harness, arguments), arguments.limit)
    return terminal.log(harness.archive, _name(harness, arguments), arguments.limit)


def _best(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.report import terminal

    return terminal.best(
        harness.archive, _name(harness, arguments), arguments.count, harness.dataset.operators
    )


def _show(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.report import terminal

    return terminal.show(harness.archive, arguments.candidate)


def _diff(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.report import terminal
    from ...tools.archive.store.trials.lineage import candidate_or_trial

    other = arguments.other
    if other is not None:
        return terminal.diff(harness.archive, arguments.candidate, other)
    parents = candidate_or_trial(harness.archive, arguments.candidate)[0].parents
    if not parents:
        return f"{arguments.candidate} has no parent to differ from."
    return terminal.diff(harness.archive, parents[0], arguments.candidate)


def _plans(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.report import forecast_tables
    from ...tools.archive.search.forecasts import forecast_report

    report = forecast_report(harness.archive, _name(harness, arguments))
    return forecast_tables.plans(report, arguments.limit)


def _bundle(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.store.transfer import left_in_quarantine, write_bundle

    file = write_bundle(harness.archive, arguments.file, trials=arguments.trials)
    size = file.stat().st_size / 1024
    wrote = f"Wrote {file} ({size:.0f} KiB); on another machine: kernel-harness fetch {file}"
    if not (left := left_in_quarantine(harness.archive)):
        return wrote
    return (
        f"{wrote}\nNot in it: {left} candidate{'' if left == 1 else 's'} from elsewhere, signed by "
        "no key that is trusted here. `kernel-harness trust KEY` accepts one."
    )


def _fetch(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.store.transfer import fetch

    archive, name = harness.archive, arguments.name
    found = fetch(archive, arguments.source, name, trials=arguments.trials)
    return _moved(found, "came in", "here")


def _push(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.store.transfer import push

    found = push(harness.archive, arguments.target, trials=arguments.trials)
    return _moved(found, "went out", "there")


def _tidy(harness: Harness, arguments: argparse.Namespace) -> CommandResult:
    from ...tools.archive.store.trials.tidying import TidyRules, tidy
    from ...tools.archive.store.trials.words import tidied
    from ...tools.workloads.workspace import workspace_starts

    settings = harness.settings
    rules = TidyRules(settings.trial_days, settings.trial_megabytes)
    in_use = workspace_starts(settings.workspaces_dir)
    found = tidy(harness.archive, rules, in_use, dry_run=arguments.dry_run)
    said = tidied(found, dry_run=arguments.dry_run)
    return CommandResult(said, EXIT_DIFFERING if found.damaged else 0)


def _moved(transfer: Transfer, verb: str, where: str) -> CommandResult:
    """Lists what moved; what a person must settle, or could not be read, fails the command."""
    count = transfer.candidates
    also = f", and {transfer.trials} of the trials" if transfer.trials else ""
    said = [f"{count} candidate{'' if count == 1 else 's'} {verb}{also}."]
    if transfer.unverified:
        said.append(
            f"{transfer.unverified} of them are signed by no key that is trusted here: they are "
            "shown as unverified and rank nowhere. `kernel-harness show ID` names the key, "
            "`kernel-harness trust KEY` accepts it."
        )
    said += [f"  {ref}" for ref in _some(transfer.moved)]
    if transfer.refused:
        said.append("Left out, for they cannot be read:")
        said += [f"  {words}" for words in _some(transfer.refused)]
    if transfer.differing:
        said.append(f"Left as they are {where}, for the two sides differ:")
        said += [f"  {ref}" for ref in _some(transfer.differing)]
    unsettled = transfer.differing or transfer.refused
    return CommandResult("\n".join(said), EXIT_DIFFERING if unsettled else 0)


def _some(refs: tuple[str, ...]) -> list[str]:
    kept = [ref for ref in refs if "/candidates/" not in ref and "/trials/" not in ref]
    left = len(kept) - REFS_SHOWN
    return kept if left <= 0 else [*kept[:REFS_SHOWN], f"… and {left} more"]


def _rebuild(harness: Harness, arguments: argparse.Namespace) -> Any:
    return f"Candidates read from git: {harness.archive.rebuild_index()}."
