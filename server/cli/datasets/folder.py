"""The folder that a command's dataset lies in, named by position, and the settings with it.

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
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *given])
        namespace.last_names = self.dest


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


def require_folder(arguments: argparse.Namespace) -> Path:
    """The folder that a command was given.

    Raises:
        RequestError: when it was given none, or several.
    """
    if arguments.folder is None:
        local: Path | None = getattr(arguments, "local", None)
        found = [local] if local else folders_after_names(arguments)
        if len(found) != 1:
            raise RequestError(
                "No folder is named" if not found else "Several folders are named",
                remedy="Name the dataset's folder first, before options that take several names.",
            )
        arguments.folder = found[0]
    return arguments.folder


def of_folder(settings_of: SettingsOf) -> SettingsOf:
    """The settings, with the folder that was named among the datasets."""

    def settings(arguments: argparse.Namespace, taken: Collection[str] = ()) -> Settings:
        found, folder = settings_of(arguments, taken), require_folder(arguments)
        known = {place.resolve() for place in (found.kernels_dir, *found.dataset)}
        if folder.resolve() in known or folder.is_file():
            return found
        return found.model_copy(update={"dataset": (*found.dataset, folder)})

    return settings
