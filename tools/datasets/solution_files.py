"""A solution as one JSON file and as a folder of its sources, from the one to the other.

The folder is that of a workspace: candidate.toml beside the sources, at any depth. Nothing of a
program is lost on the way: both forms have the same content hash.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..archive.export.names import new_file, new_folder
from ..errors import RequestError
from ..schema.flashinfer_trace import Solution
from ..workloads.solution_folder import given_solution, read_solution, write_solution


def read_solution_file(path: Path) -> Solution:
    """Reads a Solution from a JSON file.

    Raises:
        RequestError: when it cannot be read, naming what is wrong field by field.
    """
    try:
        return given_solution(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise RequestError(f"The solution cannot be read: {error}", where=str(path)) from error


def extract_solution(solution: Solution, out: Path) -> Path:
    """Writes a solution's sources into a new folder, of which `pack_solution` makes it again.

    Raises:
        RequestError: when the folder is in use.
    """
    new_folder(out)
    write_solution(solution, out)
    return out


def pack_solution(
    solution: Solution | Path, out: Path, *, name: str | None = None, author: str | None = None
) -> Solution:
    """Writes a solution, or the folder of one, into a new JSON file; returns what was written.

    Args:
        name, author: in place of the solution's own.

    Raises:
        DatasetError: when the folder holds none.
        RequestError: when the file exists.
    """
    if isinstance(solution, Path):
        solution = read_solution(solution)
    said = {key: value for key, value in (("name", name), ("author", author)) if value}
    packed = Solution.model_validate({**solution.model_dump(mode="json"), **said})
    with new_file(out) as file:
        file.write(packed.model_dump_json(indent=2) + "\n")
    return packed
