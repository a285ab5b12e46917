"""Builds a program's library for processes that are not ours, and ends.

    python -m kernel_harness.tools.candidate.process.library REQUEST FILE

Started by name by whoever deploys a kernel. It compiles and never loads: no code of the candidate
runs here. Nothing confines it but what confines every compiler, for who deploys a kernel is about
to run it with all rights of their own program.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from ...messages.candidate import BuildRequest
from ..compilation.native import build_library
from ..compilation.sources import Folders, split_entry_point, write_sources
from ..faults import CandidateError

FAILED = 3
"""Exit status when the sources do not compile, or a compiler is missing; stderr says which."""


def main(arguments: list[str]) -> int:
    """Compiles what a file asks for and writes the library; returns the exit status."""
    request = BuildRequest.model_validate_json(Path(arguments[0]).read_bytes())
    with tempfile.TemporaryDirectory(prefix="kernel-harness-") as private:
        folders = Folders(Path(private))
        try:
            split_entry_point(request)
            source_dir = write_sources(request, folders)
            library, _, _ = build_library(request, source_dir, folders)
        except CandidateError as error:
            said = f"{error.fault.message}\n{error.fault.excerpt}".strip()
            sys.stderr.write(f"{said}\n")
            return FAILED
        shutil.copyfile(library, arguments[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
