"""The folders that a command's datasets lie in, and the settings with them.

Options that take several names would take a folder that follows them for one more name; so it is
given back to the command where none stands elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....tools.errors import RequestError
from ..commands import SettingsOf

if TYPE_CHECKING:
    from ....tools.settings import Settings


class TakeNames(argparse.Action):
    """Adds names to those of an option, and remembers that it was the last such option."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Takes the words that follow the option."""
        given = [values] if isinstance(values, str) else list(values or ())
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *self.names_in(given)])
        namespace.last_names = self.dest

    def names_in(self, words: Sequence[Any]) -> Sequence[Any]:
        """The names that the words are."""
        return words


class TakeListedNames(TakeNames):
    """Takes names as TakeNames does, and those of one word between commas, as in a,b."""

    def names_in(self, words: Sequence[Any]) -> Sequence[Any]:
        """The names that the words are, or hold."""
        return [name for word in words for name in str(word).split(",") if name]


def add_local(parser: argparse.ArgumentParser, *names: str) -> None:
    """Adds the option by which flashinfer-bench is given its folders.

    Args:
        names: more of its names.
    """
    parser.add_argument(
        "--local",
        *names,
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="a folder, as flashinfer-bench is given it; of several, give it several times",
    )


def folders_after_names(arguments: argparse.Namespace) -> list[Path]:
    """The folders that the last option of several names took with it; it has them no longer."""
    dest = getattr(arguments, "last_names", None)
    names: list[str] = list(getattr(arguments, dest)) if dest else []
    found: list[Path] = []
    while len(names) > 1 and Path(names[-1]).exists():
        found.insert(0, Path(names.pop()))
    if dest is not None:
        setattr(arguments, dest, names)
    return found


def named_folders(arguments: argparse.Namespace) -> list[Path]:
    """The folders that a command was given, by position, by --local, or after the names."""
    positional: Path | list[Path] | None = arguments.folder
    first = [positional] if isinstance(positional, Path) else list(positional or ())
    return [*first, *arguments.local] or folders_after_names(arguments)


def require_folders(arguments: argparse.Namespace, *, several: bool) -> list[Path]:
    """The folders that a command was given, each once; the command has them as its folders.

    Raises:
        RequestError: when it was given none, or several where it takes one.
    """
    found = list(dict.fromkeys(named_folders(arguments)))
    if not found or (len(found) > 1 and not several):
        raise RequestError(
            "Several folders are named" if found else "No folder is named",
            remedy="Name the dataset's folder first, before options that take several names.",
        )
    arguments.folder = found
    return found


def of_folders(settings_of: SettingsOf, *, several: bool = False) -> SettingsOf:
    """The settings, with the folders that were named among the datasets."""

    def settings(arguments: argparse.Namespace, taken: Collection[str] = ()) -> Settings:
        found = settings_of(arguments, taken)
        folders = require_folders(arguments, several=several)
        known = {place.resolve() for place in (found.kernels_dir, *found.dataset)}
        new = [f for f in folders if f.resolve() not in known and not f.is_file()]
        return found.model_copy(update={"dataset": (*found.dataset, *new)}) if new else found

    return settings
