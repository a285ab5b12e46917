"""Where an operator was imported from: `origin.json` in its folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import DatasetError

FILE_NAME = "origin.json"


class TaskOrigin(BaseModel):
    """Where an operator was imported from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: str
    level: int = 0
    """Of suites that have levels; 0 otherwise."""
    number: int = 0
    task: str
    """The task's name, as the suite has it."""
    file: str
    """Of the task, from the folder that was imported."""
    sha256: str
    """Of that file."""
    reduced_by: int = 1
    """By what the sizes in the file were divided."""
    track: str = ""
    """Which tasks have a place in common, of suites that rank by such groups."""
    ranked_by: str = ""
    """Which mean of the times the suite ranks by, where it says so for each task."""
    times_us: dict[str, dict[str, float]] = {}
    """By workload, times that come with the suite: of its `baseline`, and of the bound `sol`."""
    warnings: list[str] = []
    """What makes the task a weak one."""

    @property
    def label(self) -> str:
        """The task's name, as people speak of it."""
        return f"level{self.level}/{self.number}_{self.task}" if self.level else self.task

    def write(self, folder: Path) -> None:
        """Writes the file of an operator's folder."""
        text = self.model_dump_json(indent=1) + "\n"
        (folder / FILE_NAME).write_text(text, encoding="utf-8")


def read_origin(folder: Path | None) -> TaskOrigin | None:
    """Where the operator of a folder was imported from; None when it was not imported.

    Raises:
        DatasetError: when its file cannot be read.
    """
    path = folder / FILE_NAME if folder else None
    if path is None or not path.is_file():
        return None
    try:
        return TaskOrigin.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(
            f"It does not say where the operator is from: {str(error).splitlines()[0]}",
            where=str(path),
            remedy="Import the suite again.",
        ) from error
