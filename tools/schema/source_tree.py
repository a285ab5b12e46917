"""Decides which paths the sources of a candidate may have: one rule for every way in.

A workspace, a Solution, an archived candidate and a fetched one are held to it alike: plain
relative paths of regular text files, few and small, no dot files, no files that agents read as
instructions or that describe a workspace, and no two sources of which one hides the other.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

MAX_FILES = 256
MAX_BYTES = 8 << 20
MAX_DEPTH = 16
MAX_PATH_CHARACTERS = 400
_MAX_NAME_BYTES = 200
_MODULE_SUFFIXES = (".py", ".pyc", ".so", ".pyd")
_PLAIN_NOTES = ("readme.md", "notes.md")
"""Text in Markdown that no tool takes as instructions by its name."""
_OF_SHELLS = frozenset('$`"')
"""What a shell takes for more than text within double quotes, in which nvcc hands it paths."""
CANDIDATE_FILE = "candidate.toml"
"""What stands beside the sources in a folder and says how they are built and called."""


def path_fault(path: str) -> str | None:
    """What is wrong with one source's path, in words; None for nothing."""
    parts = path.split("/")
    if found := sorted(set(path) & _OF_SHELLS):
        shown = " ".join(found)
        return f"source path {path[:200]!r} has {shown}, which nvcc's shell takes for a command"
    if path.startswith("/") or ".." in parts:
        return f"source path {path[:200]!r} must be relative and without '..'"
    if "\\" in path or not path.isprintable():
        return f"source path {path[:200]!r} has a backslash or a character that cannot be printed"
    if "" in parts or "." in parts:
        plain = "/".join(part for part in parts if part not in ("", "."))
        return f"source path {path[:200]!r} must be written plainly, as {plain[:200]!r}"
    if path == CANDIDATE_FILE:
        return f"source path {path!r} is that of the file which describes a workspace"
    if len(path) > MAX_PATH_CHARACTERS or len(parts) > MAX_DEPTH:
        return (
            f"source path {path[:40]!r}… is too long: at most {MAX_PATH_CHARACTERS} characters and "
            f"{MAX_DEPTH} levels"
        )
    return next((fault for part in parts if (fault := _name_fault(part, path))), None)


def _name_fault(name: str, path: str) -> str | None:
    if name.startswith("."):
        return f"source path {path!r} has a part that starts with a dot"
    if name == "__pycache__":
        return f"source path {path!r} lies in __pycache__, which Python writes"
    if len(name.encode(errors="replace")) > _MAX_NAME_BYTES:
        return f"source path {path[:40]!r}… has a name of more than {_MAX_NAME_BYTES} bytes"
    if is_instructions(name):
        return f"source path {path!r} is no code: agents read such files as instructions"
    return None


def is_instructions(name: str) -> bool:
    """Whether agents take a file of this name as instructions, e.g. CLAUDE.md."""
    lowered = name.lower()
    return lowered.endswith((".md", ".mdc", ".mdx")) and lowered not in _PLAIN_NOTES


def tree_faults(paths: Sequence[str]) -> list[str]:
    """What is wrong with the sources' paths, one by one and together, in words."""
    faults = [fault for path in paths if (fault := path_fault(path))]
    if len(paths) > MAX_FILES:
        faults.append(f"{len(paths)} source files, at most {MAX_FILES} are read")
    repeated = sorted({path for path in paths if paths.count(path) > 1}) if not faults else []
    if repeated:
        faults.append(f"source paths are repeated: {', '.join(repeated)}")
    return faults or [*_files_as_folders(paths), *_shadowed(paths)]


def _files_as_folders(paths: Iterable[str]) -> list[str]:
    files = set(paths)
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents}
    return [f"source {path!r} is a file and a folder" for path in sorted(files & folders)]


def _shadowed(paths: Iterable[str]) -> list[str]:
    """Sources that Python would import by one name, so that one of them is never run."""
    by_module: dict[str, list[str]] = {}
    for path in paths:
        if (module := _module(PurePosixPath(path))) is not None:
            by_module.setdefault(module, []).append(path)
    return [
        f"sources {' and '.join(map(repr, sorted(same)))} are one module to Python: one hides the "
        "other"
        for same in by_module.values()
        if len(same) > 1
    ]


def _module(path: PurePosixPath) -> str | None:
    """The name by which Python finds a source, with slashes; None when it finds none.

    Names in an import have compatible letters replaced, and dots in a source's name, which an
    import cannot write, stand for underscores.
    """
    if path.suffix not in _MODULE_SUFFIXES:
        return None
    # An extension module's name may hold the interpreter's: kernel.cpython-312-x86_64-linux-gnu.so
    name = path.name.split(".", 1)[0] if path.suffix != ".py" else path.stem
    found = str(path.parent if name == "__init__" else path.parent / name)
    return unicodedata.normalize("NFKC", found if found == "." else found.replace(".", "_"))
