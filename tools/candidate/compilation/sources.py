"""Writes a solution's sources to disk, and finds the entry point in them, for every language.

Sources are written under the process's private folder and nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ...messages.candidate import BuildRequest
from ...messages.zygote import BUILDS_FOLDER
from ..faults import CandidateError


@dataclass(frozen=True)
class Folders:
    """The folders of one candidate process, and its way to the cache of finished builds."""

    private: Path
    fetch: Callable[[str], Path | None] = field(default=lambda key: None)
    """Asks for a copy of a cached entry; returns its folder, or None."""
    publish: Callable[[str], object] = field(default=lambda key: None)
    """Has the folder of that name in `builds` kept in the cache."""
    before_code: Callable[[], None] = field(default=lambda: None)
    """Must be called before any candidate code is loaded: the cache is out of reach after it."""
    kept: bool = False
    """Whether what is published is kept for later processes."""
    faked: bool = False
    """Whether a fake device answers, for there is none."""

    @property
    def sources(self) -> Path:
        """Root of the candidate's packages; on the import path."""
        return self.private / "src"

    @property
    def builds(self) -> Path:
        """Compilers' products."""
        return self.private / BUILDS_FOLDER


@dataclass(frozen=True)
class Product:
    """The result of a build."""

    function: Callable[..., Any]
    cached: bool = False
    log: str = ""


class Builder(Protocol):
    """Makes one kind of solution callable."""

    def accepts(self, request: BuildRequest) -> bool:
        """Whether this builder is for that language and binding."""
        ...

    def build(self, request: BuildRequest, source_dir: Path, folders: Folders) -> Product:
        """Builds and loads it.

        Raises:
            CandidateError: when the candidate or the toolchain prevents it.
        """
        ...


def split_entry_point(request: BuildRequest) -> tuple[PurePosixPath, str]:
    """Splits 'kernel.py::run' into its file and its symbol.

    Raises:
        CandidateError: when it has another form or names no source.
    """
    file, separator, symbol = request.entry_point.partition("::")
    paths = [source["path"] for source in request.sources]
    if not separator or not file or not symbol:
        raise CandidateError(
            "entry_point", f"Entry point {request.entry_point!r} must read 'file::function'"
        )
    if file not in paths:
        raise CandidateError(
            "entry_point", f"Entry point {file!r} is not among the sources: {', '.join(paths)}"
        )
    return PurePosixPath(file), symbol


def write_sources(request: BuildRequest, folders: Folders) -> Path:
    """Writes the sources under their package's folder.

    Raises:
        CandidateError: when a path would leave the folder.
    """
    source_dir = folders.sources / request.package
    for source in request.sources:
        path = PurePosixPath(source["path"])
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise CandidateError("source_path", f"Source path {source['path']!r} leaves its folder")
        target = source_dir / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source["content"], encoding="utf-8")
    return source_dir


def entry_function(module: Any, symbol: str, request: BuildRequest) -> Callable[..., Any]:
    """Takes the entry point out of a loaded module and checks that it can be called as it must.

    Raises:
        CandidateError: when it is missing, is not callable or takes another number of arguments.
    """
    function = getattr(module, symbol, None)
    if function is None:
        names = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))]
        raise CandidateError(
            "entry_point", f"{request.entry_point!r} does not exist; found: {', '.join(names[:12])}"
        )
    if not callable(function):
        raise CandidateError("entry_point", f"{request.entry_point!r} is not callable")
    expected = request.argument_count
    style = "value-returning style"
    if request.destination_passing_style:
        expected += request.output_count
        style = "destination-passing style: inputs, then outputs"
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return function
    try:
        signature.bind(*range(expected))
    except TypeError as error:
        raise CandidateError(
            "signature",
            f"{symbol}{signature} cannot be called with {expected} positional arguments "
            f"({style}): {error}",
        ) from error
    return function
