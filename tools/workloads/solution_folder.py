"""A solution as a folder: candidate.toml, and beside it every source.

Workspaces, peers and shipped solutions share this form. Not sources: `candidate.toml` itself,
`NOTES.md`, `README.md`, `reference.py`, `__pycache__` and whatever starts with a dot.

It does not promise that a solution builds. A link, a binary file or a folder too large for a
solution is refused, not skipped: what is evaluated must be what the author sees.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..errors import DatasetError, HarnessError, RequestError, unknown_name
from ..schema.flashinfer_trace import Binding, BuildSpec, Language, Solution, SourceFile

FILE_NAME = "candidate.toml"
NOT_SOURCES = frozenset({FILE_NAME, "NOTES.md", "README.md", "reference.py"})
MAX_FILES = 256
MAX_BYTES = 8 << 20
MOST_FAULTS = 8
"""Of a solution that cannot be read, told at once."""


class CandidateFile(BaseModel):
    """What candidate.toml says; names it does not know are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    definition: str = Field(min_length=1)
    language: Language
    entry_point: str = Field(min_length=1, description="'<file>::<function>'")
    destination_passing_style: bool = True
    binding: Binding | None = Field(default=None, description="'', 'tvm-ffi' or 'torch'.")
    dependencies: list[str] = Field(default_factory=list)
    target_hardware: list[str] = Field(default_factory=lambda: ["cuda"], min_length=1)
    description: str | None = None
    technique: list[str] = Field(default_factory=list, description="Tags, e.g. 'split-k'.")
    started_from: str | None = Field(
        default=None, description="What it was begun from; regions that a candidate marks hold."
    )

    @field_validator("binding", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None


def read_candidate_file(folder: Path) -> CandidateFile:
    """Reads a folder's candidate.toml.

    Raises:
        DatasetError: when it is missing or malformed, naming the field.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise DatasetError(
            f"There is no {FILE_NAME}",
            where=str(folder),
            remedy="Open a workspace with open_workspace, or write the file beside the sources.",
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{FILE_NAME} is not TOML: {error}", where=str(path), remedy="Correct the syntax there."
        ) from error
    for name in values:
        if name not in CandidateFile.model_fields:
            wrong = unknown_name("key", name, CandidateFile.model_fields)
            raise DatasetError(wrong.what, where=str(path), remedy=wrong.remedy)
    try:
        return CandidateFile(**values)
    except ValidationError as error:
        raise _refused(error, path) from error


def given_solution(value: Any) -> Solution:
    """Reads a Solution that a client sent.

    Raises:
        RequestError: when it is none, naming what is wrong field by field.
    """
    try:
        return Solution.model_validate(value)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'solution'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise RequestError(
            f"The solution cannot be read: {'; '.join(faults[:MOST_FAULTS])}",
            remedy="Pass a FlashInfer-Trace Solution: name, definition, author, spec (language, "
            "target_hardware, entry_point 'file.py::run') and sources (path, content).",
        ) from error


def read_solution(
    folder: Path, *, author: str = "workspace", said: CandidateFile | None = None
) -> Solution:
    """Reads a folder, sources at any depth, as a FlashInfer-Trace Solution.

    Args:
        author: goes into the Solution; it does not change its content hash.
        said: the folder's candidate.toml, where the caller has read it already.

    Raises:
        DatasetError: for a malformed candidate.toml, no sources, or a file that cannot be one.
    """
    said = said or read_candidate_file(folder)
    try:
        return Solution(
            name=said.name,
            definition=said.definition,
            author=author,
            description=said.description,
            spec=BuildSpec(
                language=said.language,
                target_hardware=said.target_hardware,
                entry_point=said.entry_point,
                dependencies=said.dependencies,
                destination_passing_style=said.destination_passing_style,
                binding=said.binding,
            ),
            sources=list(_sources(folder)),
        )
    except ValidationError as error:
        raise _refused(error, folder / FILE_NAME) from error


def write_solution(solution: Solution, folder: Path, *, technique: Sequence[str] = ()) -> None:
    """Writes a Solution as a folder that `read_solution` reads back to the same content hash.

    Existing files of the same names are replaced; others stay.

    Raises:
        DatasetError: when a source has a name that the folder form keeps for itself.
    """
    for source in solution.sources:
        if not _is_source(Path(source.path)):
            raise DatasetError(
                f"A source cannot be named {source.path!r} in a solution folder",
                where=solution.name,
                remedy=f"Kept names: {', '.join(sorted(NOT_SOURCES))}, dot files, __pycache__.",
            )
    spec = solution.spec
    said = CandidateFile(
        name=solution.name,
        definition=solution.definition,
        language=spec.language,
        entry_point=spec.entry_point,
        destination_passing_style=spec.destination_passing_style,
        binding=spec.binding,
        dependencies=spec.dependencies,
        target_hardware=spec.target_hardware,
        description=solution.description,
        technique=list(technique),
    )
    values = {k: v for k, v in said.model_dump(mode="json").items() if v is not None}
    for source in solution.sources:
        path = folder / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.content.encode())
    (folder / FILE_NAME).write_text(tomli_w.dumps(values), encoding="utf-8")


def _sources(folder: Path) -> Iterator[SourceFile]:
    total = 0
    paths = [p for p in sorted(folder.rglob("*")) if _is_source(p.relative_to(folder))]
    files = [path for path in paths if path.is_symlink() or not path.is_dir()]
    if len(files) > MAX_FILES:
        raise _unusable(f"{len(files)} source files, at most {MAX_FILES} are read", folder)
    for path in files:
        if path.is_symlink() or not path.is_file():
            raise _unusable("A source must be a plain file", path)
        data = path.read_bytes()
        total += len(data)
        if total > MAX_BYTES:
            raise _unusable(f"The sources exceed {MAX_BYTES >> 20} MiB", path)
        try:
            # The format refuses empty contents; an empty __init__.py becomes one blank line.
            content = data.decode("utf-8") or "\n"
        except UnicodeDecodeError as error:
            raise _unusable(f"A source is not UTF-8 text: {error.reason}", path) from error
        yield SourceFile(path=path.relative_to(folder).as_posix(), content=content)


def _is_source(relative: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
    return not hidden and str(relative) not in NOT_SOURCES


def _unusable(what: str, path: Path) -> DatasetError:
    return DatasetError(
        what, where=str(path), remedy="Keep only the solution's own sources in its folder."
    )


def _refused(error: ValidationError, path: Path) -> HarnessError:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    words = first["msg"].removeprefix("Value error, ")
    return DatasetError(
        f"{field or 'The solution'}: {words}", where=str(path), remedy="Correct that field."
    )
