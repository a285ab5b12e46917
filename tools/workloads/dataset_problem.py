"""What could not be read of a dataset, with its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DatasetProblem:
    """A file, or a line of one, that could not be used or is doubtful."""

    file: str
    line: int | None
    field: str
    message: str

    @property
    def definition(self) -> str:
        """The name of the definition whose file it is, by the file's or its folder's name."""
        file = Path(self.file)
        return file.parent.name if file.name == "definition.json" else file.stem

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return (
            f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"
        )
