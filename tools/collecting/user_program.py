"""A user's Python program, named by its words and run in this process as if by itself."""

from __future__ import annotations

import contextlib
import importlib.util
import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from ..errors import HarnessError, RequestError

REMEDY = "Name its file, or -m and its module."
NOT_ITS_OWN = (__file__, "<frozen runpy>", "<frozen importlib")
"""How the files begin whose frames lie below those of a program."""


def stand_in(program: Sequence[str]) -> None:
    """Gives this process the words and the folder that a program has, before it is run.

    Args:
        program: a file or `-m` and a module, and its arguments.

    Raises:
        RequestError: when the file is not there, or no module of this name or its package.
    """
    if program[0] != "-m" and not Path(program[0]).exists():
        raise RequestError(f"There is no program {program[0]}", remedy=REMEDY)
    sys.argv = _words(program)
    sys.path.insert(0, _folder(program))
    if program[0] == "-m" and not _is_found(program[1].partition(".")[0]):
        raise RequestError(f"There is no program {program[1]}: no such module", remedy=REMEDY)


def run_to_end(program: Sequence[str]) -> int:
    """Runs a program that this process stands in for; returns its exit status.

    An exception that ends it is shown as Python does, without the frames that are ours.

    Raises:
        RequestError: when its package has no such module.
    """
    try:
        if program[0] == "-m":
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    except HarnessError:
        raise
    except Exception as error:
        own = _own_frames(error.__traceback__)
        if own is None and isinstance(error, ImportError):
            raise RequestError(
                f"There is no program {program[1]}: {error}", remedy=REMEDY
            ) from error
        sys.excepthook(type(error), error.with_traceback(own), own)
        return 1
    return 0


@contextlib.contextmanager
def in_place_of(program: Sequence[str]) -> Iterator[None]:
    """Shows to what is imported meanwhile the words and the folder that a program has."""
    words, folder = sys.argv, _folder(program)
    sys.argv = _words(program)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.argv = words
        sys.path.remove(folder)


def _is_found(module: str) -> bool:
    """Whether a module that is in no package can be imported, which is not done."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # it is there, and was not imported
        return True


def _own_frames(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(NOT_ITS_OWN):
        frames = frames.tb_next
    return frames


def _words(program: Sequence[str]) -> list[str]:
    return list(program[1:] if program[0] == "-m" else program)


def _folder(program: Sequence[str]) -> str:
    return str(Path.cwd() if program[0] == "-m" else Path(program[0]).resolve().parent)
