"""Arguments of a tool's command as they are meant in the folder that it is given in.

A tool knows no current folder and takes a Solution as a value. On a command line `.` and a relative
path are of the current folder, and a Solution may lie in a folder, as a workspace does, or in a
file: one of the system's arguments holds 128 KiB at most.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

from ...tools.errors import RequestError
from ...tools.workloads.solution_folder import read_solution

AUTHOR = "command line"
"""Of a Solution that is read from a folder."""
MOST_BYTES = 64 << 20
SOLUTION_FORMS = "; a folder with candidate.toml, @FILE, or - for standard input"


def meant_here(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments with a workspace's path made absolute and a Solution's folder or file read.

    Raises:
        RequestError: when the file cannot be read.
        DatasetError: when the folder is none of a candidate.
    """
    meant = dict(given)
    workspace, solution = meant.get("workspace"), meant.get("solution")
    if isinstance(workspace, str) and (os.sep in workspace or workspace in (".", "..")):
        place = Path(workspace).expanduser()
        if place.is_dir():  # else it may be relative to the folder of workspaces
            meant["workspace"] = str(place.absolute())
    if isinstance(solution, str) and not solution.lstrip().startswith("{"):
        meant["solution"] = _read(solution)
    return meant


def _read(named: str) -> str:
    try:
        if named == "-":
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            path = Path(named.removeprefix("@")).expanduser()
            if named and path.is_dir():
                return read_solution(path, author=AUTHOR).model_dump_json()
            mode = path.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                raise OSError(0, "it is neither a file nor a pipe")
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise OSError(0, f"it has more than {MOST_BYTES} bytes")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise RequestError(
            f"The solution {named[:200]!r} cannot be read: "
            f"{getattr(error, 'strerror', None) or error}",
            remedy="Give a FlashInfer-Trace Solution as JSON, a folder, @FILE, or - for standard "
            "input.",
        ) from error
