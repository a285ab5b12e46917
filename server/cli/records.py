"""Commands recompute, with or without judging again, calibrate and trust."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .commands import CommandResult, SettingsOf, SettingsOptions, command_factory, run_async

if TYPE_CHECKING:
    from ...tools.evaluation.rejudge import Recomputation, Rejudged
    from ...tools.harness import Harness

DIFFERENCES_SHOWN = 30
EXIT_DIFFERENT = 1


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the commands to a parser."""
    command = command_factory(commands, settings_options, settings_of)
    again = command("recompute", "derive a record's summaries again from its samples", _recompute)
    again.add_argument("evaluation_id", help="of the record, 'ev-…'")
    again.add_argument(
        "--rejudge", action="store_true", help="also judge its sources again from its seeds"
    )
    again.add_argument("--workspace", help="where the sources are, when they are not archived")
    command(
        "calibrate", "measure this device's rates and noise and keep them; needs a GPU", _calibrate
    )
    trust = command("trust", "accept another machine's key; without one, list the keys", _trust)
    trust.add_argument("key", nargs="?", help="its public key, 'ed25519:…', as its list prints it")
    trust.add_argument("--name", default="", help="what to call that machine")
    trust.add_argument("--remove", metavar="KEY", help="a key that was accepted, or its name")


def _recompute(harness: Harness, arguments: argparse.Namespace) -> CommandResult:
    from ...tools.evaluation.rejudge import recompute, rejudge

    record = harness.records.get(arguments.evaluation_id.strip())
    found = recompute(record)
    said = [f"{record.evaluation_id}: {record.status} at scope {record.scope}"]
    said += _summaries(found)
    status = EXIT_DIFFERENT if found.differences else 0
    if arguments.rejudge:
        operator = harness.dataset.operator(record.definition)
        sources = harness.lookup.sources(record, arguments.workspace)
        rejudged = run_async(
            harness, lambda show: rejudge(harness.evaluations, operator, record, sources, show)
        )
        said += _verdicts(rejudged)
        status = status if rejudged.same_verdict else EXIT_DIFFERENT
    return CommandResult("\n".join(said), status)


def _summaries(found: Recomputation) -> list[str]:
    basis = f"{found.samples} raw samples of {found.workloads} workloads"
    if not found.samples:
        basis = f"{found.workloads} workloads, none timed: only counts could be derived"
    if not found.differences:
        return [f"Every summary follows from the raw samples ({basis})."]
    left = len(found.differences) - DIFFERENCES_SHOWN
    return [
        f"Summaries that do not follow from {basis}:",
        *(
            f"  {d.where}: recorded {d.recorded}, recomputed {d.recomputed}"
            for d in found.differences[:DIFFERENCES_SHOWN]
        ),
        *([f"  … and {left} more"] if left > 0 else []),
    ]


def _verdicts(found: Rejudged) -> list[str]:
    same = "the same verdict" if found.same_verdict else f"recorded as {found.recorded.status}"
    said = [
        f"Judged again as {found.again.evaluation_id}: {found.again.status}, {same}; "
        f"{found.repeated} of {found.draws} draws were made again with their seed and family."
    ]
    failure = found.again.failure
    if failure is not None and not found.same_verdict:
        said.append(f"  {failure.message}")
    return said + [f"  Note: {note}." for note in found.notes]


def _calibrate(harness: Harness, arguments: argparse.Namespace) -> Any:
    rates, noise = run_async(harness, harness.calibrate)
    return (
        f"Wrote {rates}: floors of this device go by it from now on.\n"
        f"Wrote {noise}: no difference below it is called one from now on."
    )


def _trust(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.store.transfer import admit
    from ...tools.signing.trusted_keys import accept_key, remove_key

    said: list[str] = []
    file = harness.keys.accepted_file
    if arguments.remove:
        removed = remove_key(file, arguments.remove)
        said.append(f"No longer trusted: {removed.key} {removed.name}".rstrip())
    if arguments.key:
        added = accept_key(file, arguments.key, arguments.name)
        said.append(f"Trusted from now on: {added.key} {added.name}".rstrip())
        _, unverified = admit(harness.archive)
        said.append(f"Fetched candidates that still count nowhere: {len(unverified)}.")
    return "\n".join(said or _listed(harness))


def _listed(harness: Harness) -> list[str]:
    own = harness.keys.public()
    said = [f"This machine: {own}" if own else f"This machine: {harness.keys.problem}"]
    said += [
        f"{known.source}: {known.key} {known.name}".rstrip() for known in harness.keys.trusted()
    ]
    return said if len(said) > 1 else [*said, "No other key is trusted."]
