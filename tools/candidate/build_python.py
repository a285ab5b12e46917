"""Python and Triton solutions: the entry file is imported as part of the package of its sources."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path, PurePosixPath

from ..messages.candidate import BuildRequest
from .compilation.sources import Folders, Product, entry_function, split_entry_point
from .faults import CandidateError, fault_of


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
