"""Settings of a command whose dataset is named by position."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..commands import SettingsOf

if TYPE_CHECKING:
    from ....tools.settings import Settings


def of_folder(settings_of: SettingsOf) -> SettingsOf:
    """The settings, with the folder that was named among the datasets."""

    def settings(arguments: argparse.Namespace) -> Settings:
        found, folder = settings_of(arguments), arguments.folder
        known = {place.resolve() for place in (found.kernels_dir, *found.dataset)}
        if folder.resolve() in known or folder.is_file():
            return found
        return found.model_copy(update={"dataset": (*found.dataset, folder)})

    return settings
