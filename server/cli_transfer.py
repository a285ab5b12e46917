"""The archive carried elsewhere and its index rebuilt: bundle, fetch, push, rebuild-index."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cli.commands import SettingsOf, SettingsOptions, Told, adder

if TYPE_CHECKING:
    from ..tools.archive.store.transfer import Transfer
    from ..tools.harness import Harness

REFS_SHOWN = 20
EXIT_DIFFERING = 1


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the commands; see `cli_harness.adder` for the arguments."""
    command = adder(commands, settings_options, settings_of)
    bundle = command("bundle", "write the whole archive into one file", _bundle)
    bundle.add_argument("file", type=Path, help="the file to write")
    fetch = command("fetch", "bring in another archive: a URL, a folder or a bundle", _fetch)
    fetch.add_argument("source", help="where the other archive is")
    fetch.add_argument("--name", default="origin", help="what its bests are filed under here")
    push = command("push", "send the archive to another repository", _push)
    push.add_argument("target", help="a URL or a folder: a git repository")
    command("rebuild-index", "throw the index away and read git again", _rebuild)


def _bundle(harness: Harness, arguments: argparse.Namespace) -> Any:
    from rich.markup import escape

    from ..tools.archive.store.transfer import write_bundle

    file = write_bundle(harness.archive, arguments.file)
    size = file.stat().st_size / 1024
    return escape(f"Wrote {file} ({size:.0f} KiB); on another machine: kernel-harness fetch {file}")


def _fetch(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ..tools.archive.store.transfer import fetch

    return _moved(fetch(harness.archive, arguments.source, arguments.name), "came in", "here")


def _push(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ..tools.archive.store.transfer import push

    return _moved(push(harness.archive, arguments.target), "went out", "there")


def _moved(transfer: Transfer, verb: str, where: str) -> Told:
    """What moved; and what differs, which a person must settle, ends with a status of its own."""
    from rich.text import Text

    count = transfer.candidates
    said = [f"{count} candidate{'' if count == 1 else 's'} {verb}."]
    said += [f"  {ref}" for ref in _some(transfer.moved) if "refs/candidates/" not in ref]
    if transfer.differing:
        said.append(f"Left as they are {where}, for the two sides differ:")
        said += [f"  {ref}" for ref in _some(transfer.differing)]
    return Told(Text("\n".join(said)), EXIT_DIFFERING if transfer.differing else 0)


def _some(refs: tuple[str, ...]) -> list[str]:
    kept = [ref for ref in refs if "refs/candidates/" not in ref]
    left = len(kept) - REFS_SHOWN
    return kept if left <= 0 else [*kept[:REFS_SHOWN], f"… and {left} more"]


def _rebuild(harness: Harness, arguments: argparse.Namespace) -> Any:
    return f"Candidates read from git: {harness.archive.rebuild_index()}."
