"""Refs that lead to what a repository has lost: by a failed disk, a power cut, half a copy."""

from __future__ import annotations

import re
import subprocess

from .commands import TRANSFER_DEADLINE_S, Commands
from .objects import end_process

_NAMED = re.compile(r"\brefs/[^\s:^~()]+")


def damaged_refs(git: Commands) -> list[str]:
    """The refs that hold no object, or lead to one that is not there.

    Of several that lead to the same lost object one is named.
    """
    asked = ("--connectivity-only", "--no-dangling", "--no-progress", "--name-objects")
    process = git.start("fsck", asked, subprocess.DEVNULL)
    try:
        said = b"".join(process.communicate(timeout=TRANSFER_DEADLINE_S))
    finally:
        end_process(process)
    return sorted(set(_NAMED.findall(said.decode("utf-8", "replace"))))
