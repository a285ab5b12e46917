"""Runs a module of this package confined as a candidate's process is.

    python -m kernel_harness.tools.candidate.sandbox.confined FOLDER MODULE [ARGUMENTS]

For a runner: no code of a candidate is in it, but its cubins are, and they attack the driver's
loader. The module is imported first, for its files are out of sight afterwards.
"""

from __future__ import annotations

import importlib
import resource
import sys
from pathlib import Path

from ... import process_control
from .enter import CPU_SECONDS, Confinement, enter

PROCESSES = 4096
"""The driver's threads count, and where there is no account of its own, those of others."""
OPEN_FILES = 4096
FILE_BYTES = 1 << 30


def confinement_of(folder: Path) -> Confinement:
    """A candidate's confinement with tighter limits: nothing is compiled, little written.

    Args:
        folder: the only one that the process may write.
    """
    named = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    named |= {path for path in sys.path if path.endswith("-packages")}
    return Confinement(
        private=folder,
        needed=sorted({folder, *(Path(name).resolve() for name in named)}),
        limits={
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_NPROC: PROCESSES,
            resource.RLIMIT_NOFILE: OPEN_FILES,
            resource.RLIMIT_FSIZE: FILE_BYTES,
            resource.RLIMIT_CPU: CPU_SECONDS,
        },
    )


def main(arguments: list[str]) -> None:
    """Imports the module, gives up what a candidate gives up, and calls the module's `main`."""
    folder, name, *rest = arguments
    process_control.die_with_parent()  # it may be stopped as it begins, and notice no socket then
    module = importlib.import_module(name)
    enter(confinement_of(Path(folder).resolve()))
    sys.argv = [name, *rest]
    module.main()


if __name__ == "__main__":
    main(sys.argv[1:])
