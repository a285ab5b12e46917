"""Command cluster: what a Ray cluster has for judging."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from .commands import SettingsOf, SettingsOptions, command_factory, run_async

if TYPE_CHECKING:
    from ...tools.cluster.pool import Members
    from ...tools.harness import Harness
    from ...tools.progress import OnProgress
    from ...tools.settings import Settings

HELP = "what the nodes of a Ray cluster have for judging"


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    parser = commands.add_parser("cluster", help=HELP, description=HELP)
    steps = parser.add_subparsers(required=True, metavar="STEP")
    step = command_factory(steps, settings_options, _on_cluster(settings_of))
    status = step("status", "start a judge on each device, and say which can be used", _status)
    status.add_argument(
        "cluster", nargs="?", help="ray://HOST:10001, or auto; the setting cluster if absent"
    )


def _on_cluster(settings_of: SettingsOf) -> SettingsOf:
    """The settings, with the cluster that was named."""

    def settings(arguments: argparse.Namespace, taken: Collection[str] = ()) -> Settings:
        found = settings_of(arguments, taken)
        chosen = arguments.cluster or found.cluster or "auto"
        return found.model_copy(update={"cluster": chosen})

    return settings


def _status(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.cluster.pool import ClusterPool

    async def work(progress: OnProgress) -> Members:
        await progress(0, 1, f"reaching {harness.settings.cluster}")
        pool = harness.pool
        assert isinstance(pool, ClusterPool)
        return await pool.members()

    members = run_async(harness, work)
    used = [
        f"{name} on {one.host}: {one.device}, used" for name, one in sorted(members.facts.items())
    ]
    refused = [f"{name}: refused: {why}" for name, why in sorted(members.refused.items())]
    count = len(used)
    return "\n".join([*used, *refused, f"{count} judge{'s' * (count != 1)} can be used."])
