"""A solution as a folder: candidate.toml, and beside it every source.

Workspaces, peers and shipped solutions share this form. Not sources: `candidate.toml` itself,
`NOTES.md`, `README.md`, `reference.py`, `__pycache__`, other Markdown, and whatever starts with a
dot.

It does not promise that a solution builds. A link, a binary file or a folder too large for a
solution is refused, not skipped: what is evaluated must be what the author sees. Whatever lies in a
folder, reading it takes bounded time and memory: no link is followed, no file read beyond a bound.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..errors import DatasetError, HarnessError, RequestError, unknown_name
from ..schema.flashinfer_trace import Binding, BuildSpec, Language, Solution, SourceFile
from ..schema.source_tree import (
    CANDIDATE_FILE,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_FILES,
    is_instructions,
)
from ..text import fault_words

FILE_NAME = CANDIDATE_FILE
NOT_SOURCES = frozenset({FILE_NAME, "NOTES.md", "README.md", "reference.py"})
KEPT_NAMES = NOT_SOURCES - {FILE_NAME}
"""Files that the harness writes beside the sources, unless a source has that name."""
MAX_CANDIDATE_FILE_BYTES = 64 << 10
MAX_ENTRIES = 8 * MAX_FILES


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
    also_sources: list[str] = Field(
        default_factory=list,
        description="Files of kept names, as 'reference.py', that are sources.",
    )
    started_from: str | None = Field(
        default=None, description="What it was begun from; its parent when nothing else is said."
    )
    plan: str | None = Field(
        default=None,
        description="Plan that it carries out; the regions that it marks hold.",
    )

    tune: dict[str, Any] = Field(
        default_factory=dict,
        description="Constants of the sources, and lists of values to try of each.",
    )

    @field_validator("binding", "plan", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None


def read_candidate_file(folder: Path) -> CandidateFile:
    """Reads a folder's candidate.toml.

    Raises:
        DatasetError: when it is missing or malformed, naming the field.
    """
    path = folder / FILE_NAME
    if not os.path.lexists(path):
        raise DatasetError(
            f"There is no {FILE_NAME}",
            where=str(folder),
            remedy="Open a workspace with open_workspace, or write the file beside the sources.",
        )
    try:
        values = tomllib.loads(_read(path, MAX_CANDIDATE_FILE_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
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
        raise RequestError(
            f"The solution cannot be read: {fault_words(error, 'solution')}",
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
            sources=list(_sources(folder, said.also_sources)),
        )
    except ValidationError as error:
        raise _refused(error, folder / FILE_NAME) from error


def write_solution(solution: Solution, folder: Path, *, technique: Sequence[str] = ()) -> None:
    """Writes a Solution as a folder that `read_solution` reads back to the same content hash.

    Existing files of the same names are replaced; others stay.
    """
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
        also_sources=also_sources(solution),
    )
    values = {k: v for k, v in said.model_dump(mode="json").items() if v not in (None, {})}
    for source in solution.sources:
        path = folder / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.content.encode())
    (folder / FILE_NAME).write_text(tomli_w.dumps(values), encoding="utf-8")


def also_sources(solution: Solution) -> list[str]:
    """Which sources have names that a folder keeps for the harness's own files."""
    return [source.path for source in solution.sources if source.path in KEPT_NAMES]


def _sources(folder: Path, also: Sequence[str]) -> Iterator[SourceFile]:
    left = MAX_BYTES
    files = sorted(_files(folder, frozenset(also) & KEPT_NAMES))
    if len(files) > MAX_FILES:
        raise _unusable(f"{len(files)} source files, at most {MAX_FILES} are read", folder)
    for path in files:
        data = _read(path, left)
        left -= len(data)
        try:
            # The format refuses empty contents; an empty __init__.py becomes one blank line.
            content = data.decode("utf-8") or "\n"
        except UnicodeDecodeError as error:
            raise _unusable(f"A source is not UTF-8 text: {error.reason}", path) from error
        yield SourceFile(path=path.relative_to(folder).as_posix(), content=content)


def _files(folder: Path, also: frozenset[str]) -> Iterator[Path]:
    """Every source below a folder; links are among them, and refused when they are read."""
    edge, entries = [folder], 0
    while edge:
        place = edge.pop()
        if len(place.parts) - len(folder.parts) > MAX_DEPTH:
            raise _unusable(f"Folders are nested more than {MAX_DEPTH} deep", folder)
        with os.scandir(place) as found:
            for entry in found:
                entries += 1
                if entries > MAX_ENTRIES:
                    raise _unusable(f"The folder holds more than {MAX_ENTRIES} entries", folder)
                path = Path(entry.path)
                if entry.name not in also and not _is_source(path.relative_to(folder)):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    edge.append(path)
                else:
                    yield path


def _read(path: Path, most_bytes: int) -> bytes:
    """A plain file's content; neither a link nor a device is opened, nor a large file read.

    Raises:
        DatasetError: for anything else.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(
            f"It must be a plain file that can be read ({error.strerror})", path
        ) from error
    with os.fdopen(fd, "rb") as stream:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise _unusable("It must be a plain file", path)
        data = stream.read(most_bytes + 1) if state.st_size <= most_bytes else b""
    if state.st_size > most_bytes or len(data) > most_bytes:
        raise _unusable(f"It is larger than the {_bytes(most_bytes)} that are left for it", path)
    return data


def _bytes(count: int) -> str:
    return f"{count / (1 << 20):.3g} MiB" if count >= 1 << 20 else f"{count} bytes"


def _is_source(relative: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
    return not (hidden or str(relative) in NOT_SOURCES or is_instructions(relative.name))


def _unusable(what: str, path: Path) -> DatasetError:
    return DatasetError(
        what, where=str(path), remedy="Keep only the solution's own sources in its folder."
    )


def _refused(error: ValidationError, path: Path) -> HarnessError:
    words, count = fault_words(error, "The solution"), error.error_count()
    remedy = "Correct that field." if count == 1 else f"Correct these {count} fields."
    return DatasetError(words, where=str(path), remedy=remedy)
