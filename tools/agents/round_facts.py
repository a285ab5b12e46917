"""What one start of an agent is about, for programs: the file round.json in its working folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..errors import RequestError

FILE_NAME = "round.json"


class RoundFacts(BaseModel):
    """What an agent that is a program needs to know; others are told the same in words.

    Attributes:
        url: of the MCP server, which takes the token as a bearer's.
        workspace: name of the folder to write in, beside this file.
        parent: id of the candidate to go on from; empty at the root.
        compare_to: what results are to be compared with; empty for the operator's baseline.
        seed: for whatever is drawn; the round's own.
        seconds: until this start is ended.
        device_seconds: of the device that the search may still use, rounds at a time sharing them;
            None where they are not limited.
        cost_usd: US dollars that this start may cost; None where that is not limited.
        evaluation_s: for which an evaluation of the search had the device on average; None before
            a round has ended.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    definition: str
    workspace: str
    url: str
    token: str
    role: str = "single"
    parent: str = ""
    compare_to: str = ""
    scope: str = "sample"
    round: int = 1
    seed: int = 0
    seconds: float | None = None
    device_seconds: float | None = None
    cost_usd: float | None = None
    evaluation_s: float | None = None

    def write(self, folder: Path) -> None:
        """Writes the file, for nobody but this user: it holds the token."""
        write_private(folder, FILE_NAME, self.model_dump_json(indent=1).encode())


def write_private(folder: Path, name: str, content: bytes) -> None:
    """Writes a file of a folder anew that nobody but this user can read, whatever is there.

    An agent may have put a link in its place or in that of a folder on the way, so that what it
    must not write is written for it; or a folder, which no file can replace.

    Args:
        name: may lead into folders, none of them upwards.

    Raises:
        RequestError: when it cannot be written.
    """
    place = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in Path(name).parts[:-1]:
            place /= part
            if place.is_symlink() or not place.is_dir():
                place.unlink(missing_ok=True)
                place.mkdir()
        file = folder / name
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        file.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(file, flags, 0o600), "wb") as stream:
            stream.write(content)
    except OSError as error:
        raise RequestError(
            f"{name} of a round cannot be written: {error.strerror}", where=str(folder)
        ) from error


def read_facts(folder: Path) -> RoundFacts:
    """The facts of the round whose working folder this is.

    Raises:
        RequestError: when there are none.
    """
    try:
        return RoundFacts.model_validate_json((folder / FILE_NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise RequestError(
            f"There is no round here: {error}",
            where=str(folder / FILE_NAME),
            remedy="`kernel-harness optimize OPERATOR --agent tuner` starts this agent.",
        ) from error
