"""Command dispatch: a workspace with the child that chooses between the record holders."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .commands import SettingsOf, SettingsOptions, command_factory

if TYPE_CHECKING:
    from ...tools.archive.search.record_holders import VirtualBest
    from ...tools.harness import Harness

MOST_PARENTS = 3
"""As for a workspace that an agent opens from 'dispatch'."""


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    command = command_factory(commands, settings_options, settings_of)
    dispatch = command(
        "dispatch", "write a child that chooses by size between an operator's fastest", _dispatch
    )
    dispatch.add_argument("definition", help="a definition, or a unique part of its name")
    dispatch.add_argument("--gpu", help="the device, as `best` names it: H200")
    dispatch.add_argument("--name", help="of the workspace; made up when left out")
    dispatch.add_argument(
        "--parents", type=int, default=MOST_PARENTS, help=f"most parents; {MOST_PARENTS}"
    )


def _dispatch(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.search.dispatch.child import dispatching_child, records_of
    from ...tools.workloads.workspace import WorkspaceStart, make_workspace

    operator = harness.dataset.operator(arguments.definition)
    found = records_of(harness.archive, operator.name, arguments.gpu, arguments.parents)
    child = dispatching_child(harness.archive, operator.definition, found)
    folder = harness.settings.workspaces_dir
    start = WorkspaceStart(child, found.best.candidate_id)
    workspace = make_workspace(folder, operator, arguments.name, start)
    return "\n".join([*_said(found), f"Wrote {workspace.path}", *_next(found, workspace.name)])


def _said(found: VirtualBest) -> list[str]:
    from ...tools.archive.store.entry import number

    said = [
        f"{found.axis} {band.words}: {band.holder.candidate_id} {band.holder.name}, "
        f"{number(band.latency_us)} us; the best over all {number(band.best_us)}"
        for band in found.bands
    ]
    return [
        *said,
        f"Dispatched: {number(found.latency_us)} instead of {number(found.best_us)} us,"
        " if choosing cost nothing.",
    ]


def _next(found: VirtualBest, name: str) -> list[str]:
    parents = " ".join(f"--parent {node.candidate_id}" for node in found.holders)
    return [
        f"Next: kernel-harness evaluate {name} --scope sample",
        f"then: kernel-harness archive {name} --evaluation-id … --hypothesis … {parents}",
    ]
