"""From a solution's sources to something callable: one small class per language.

Sources are written under the process's private folder and nowhere else. Compiled products are
found in the shared cache by a key that covers all that changes behaviour, and are handed to the
process's keeper for publishing before any candidate code has run; see `build_native`.

What this cannot promise: a build compiles, it does not run; whether the kernel works is for calls.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ..wire import EXCERPT_CHARACTERS, BuildRequest, Built
from .faults import CandidateError, cut, fault_of

KERNEL_NAME = re.compile(r"(?:@(?:triton\.)?jit\b[^\n]*\n(?:\s*@[^\n]*\n)*\s*def\s+(\w+))")
_DEVICE_KERNEL_NAME = re.compile(
    r"__global__[^;{(]*?(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\("
)


@dataclass(frozen=True)
class Folders:
    """Where one candidate process may write, and where finished builds lie."""

    private: Path
    cache: Path | None = None
    publish: Callable[[str, Path, str], None] = field(default=lambda key, folder, when: None)
    """Asks the keeper to keep a folder in the cache, 'now' or 'at_exit'."""
    before_code: Callable[[], None] = field(default=lambda: None)
    """Must be called before any candidate code is loaded: nothing is published after it."""

    @property
    def sources(self) -> Path:
        """Root of the candidate's packages; on the import path."""
        return self.private / "src"

    @property
    def builds(self) -> Path:
        """Compilers' products."""
        return self.private / "build"


@dataclass(frozen=True)
class Candidate:
    """A built solution."""

    function: Callable[..., Any]
    request: BuildRequest
    source_dir: Path
    kernel_names: frozenset[str]
    """Names of device functions in its sources, to tell its kernels from a library's."""


@dataclass(frozen=True)
class Product:
    """What a builder gives back."""

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


class PythonBuilder:
    """Python and Triton: the entry file is imported, its function taken."""

    def accepts(self, request: BuildRequest) -> bool:
        """For languages that Python itself runs."""
        return request.language in ("python", "triton")

    def build(self, request: BuildRequest, source_dir: Path, folders: Folders) -> Product:
        """Imports the entry module as part of the package that the sources form."""
        entry_file, symbol = split_entry_point(request)
        if entry_file.suffix != ".py":
            raise CandidateError(
                "entry_point", f"{request.entry_point!r} must name a .py file, as 'kernel.py::run'"
            )
        _check_syntax(request)
        if str(folders.sources) not in sys.path:
            sys.path.insert(0, str(folders.sources))
        importlib.invalidate_caches()
        folders.before_code()
        dotted = ".".join((source_dir.name, *entry_file.with_suffix("").parts))
        try:
            module = importlib.import_module(dotted)
        except ImportError as error:
            raise _import_fault(error, request, source_dir) from error
        return Product(entry_function(module, symbol, request))


def package_name(request: BuildRequest) -> str:
    """The name under which a candidate's sources are importable, from their content."""
    digest = re.sub(r"[^0-9a-z]", "", request.content_hash.lower().removeprefix("sha256:"))
    return f"candidate_{digest[:16] or 'unnamed'}"


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
    source_dir = folders.sources / package_name(request)
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


def builders() -> tuple[Builder, ...]:
    """Every builder, first match wins."""
    return (PythonBuilder(),)


def build(request: BuildRequest, folders: Folders) -> tuple[Built, Candidate | None]:
    """Builds a candidate; its failure is part of the answer."""
    begin = time.monotonic()
    source_dir = folders.sources / package_name(request)
    try:
        source_dir = write_sources(request, folders)
        split_entry_point(request)
        builder = next((b for b in builders() if b.accepts(request)), None)
        if builder is None:
            raise CandidateError("language", f"Nothing builds language {request.language!r}")
        product = builder.build(request, source_dir, folders)
    except BaseException as error:
        fault = fault_of(error, source_dir)
        return Built(fault=fault, seconds=time.monotonic() - begin), None
    candidate = Candidate(product.function, request, source_dir, _kernel_names(request))
    log = cut(product.log, EXCERPT_CHARACTERS)
    return Built(seconds=time.monotonic() - begin, cached=product.cached, log=log), candidate


def _check_syntax(request: BuildRequest) -> None:
    for source in request.sources:
        if source["path"].endswith(".py"):
            compile(source["content"], source["path"], "exec", dont_inherit=True)


def _import_fault(error: ImportError, request: BuildRequest, source_dir: Path) -> CandidateError:
    fault = fault_of(error, source_dir)
    advice = ""
    siblings = {PurePosixPath(s["path"]).parts[0].removesuffix(".py") for s in request.sources}
    if error.name and error.name.split(".")[0] in siblings:
        name = error.name.split(".")[0]
        advice = f". Sources form a package: write 'from .{name} import …'"
    return CandidateError("import_error", fault.message + advice, excerpt=fault.excerpt)


def _kernel_names(request: BuildRequest) -> frozenset[str]:
    names: set[str] = set()
    for source in request.sources:
        names.update(KERNEL_NAME.findall(source["content"]))
        names.update(_DEVICE_KERNEL_NAME.findall(source["content"]))
    return frozenset(names)
