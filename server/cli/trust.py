"""Command trust: this machine's public key, and whose signed records count here."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .commands import SettingsOf, SettingsOptions, command_factory

if TYPE_CHECKING:
    from ...tools.harness import Harness


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    command = command_factory(commands, settings_options, settings_of)
    trust = command("trust", "accept another machine's key; without one, list the keys", _trust)
    trust.add_argument("key", nargs="?", help="its public key, 'ed25519:…', as its list prints it")
    trust.add_argument("--name", default="", help="what to call that machine")
    trust.add_argument("--remove", metavar="KEY", help="a key that was accepted, or its name")


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
