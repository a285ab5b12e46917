"""One object file per source: found where an earlier candidate left it, compiled where not.

An agent changes a kernel far more often than the function that binds it to Python, and binding is
what costs a compiler its time. So each object is kept under a key over its own text, the texts that
it may include, the flags and all versions; a changed kernel beside an unchanged binding file is
compiled alone. Objects are handed over for keeping before any candidate code has run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..wire import BuildRequest
from . import toolchain
from .faults import CandidateError, compiler_excerpt
from .recipes import Recipe
from .sources import Folders
from .toolchain import Toolchain

OBJECTS = "1"
"""Changes when flags here change, so that older objects are not taken for new ones."""
HOST_FILES = (".cpp", ".cc", ".cxx", ".c++")
DEVICE_FILES = (".cu",)
_INCLUDED = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]', re.MULTILINE)
_INCLUDED_BY_MACRO = re.compile(r"^\s*#\s*include\s+[A-Za-z_]", re.MULTILINE)
_NEEDS_FULL_HEADER = re.compile(r"error.*(?:torch|\bat::|c10|pybind11|\bpy::)", re.IGNORECASE)


@dataclass(frozen=True)
class Made:
    """One object file.

    Args:
        source: its path among the candidate's sources.
        file: where it lies.
        ran: what its compiler printed; None where it was found.
    """

    source: str
    file: Path
    ran: toolchain.Ran | None = None

    @property
    def ok(self) -> bool:
        """Whether there is an object."""
        return self.ran is None or self.ran.ok


def compile_objects(
    request: BuildRequest, source_dir: Path, folders: Folders, recipe: Recipe, tools: Toolchain
) -> list[Made]:
    """Finds or compiles an object for every source, side by side.

    Raises:
        CandidateError: of kind 'compile_error' when one does not compile, 'entry_point' when there
            is nothing to compile, 'toolchain' when a compiler is missing.
    """
    sources = [s["path"] for s in request.sources if s["path"].endswith(DEVICE_FILES + HOST_FILES)]
    if not sources:
        raise CandidateError("entry_point", "None of the sources is a .cu or .cpp file")
    recipes = [r for r in (recipe, recipe.retry) if r is not None]
    made: dict[str, Made] = {}
    for source in sources:
        keys = [object_key(request, source, r, tools) for r in recipes]
        if found := next((f for key in keys if (f := _found(folders, key)) is not None), None):
            made[source] = Made(source, found)
    for attempt in recipes:
        missing = [s for s in sources if s not in made or not made[s].ok]
        if attempt is not recipe:
            missing = [s for s in missing if for_want_of_headers(made[s].ran)]
        for done in _compiled(request, missing, source_dir, folders, attempt, tools):
            made[done.source] = done
    failed = [m for m in made.values() if not m.ok]
    if failed:
        names = ", ".join(m.source for m in failed)
        words = "\n".join(m.ran.output for m in failed if m.ran is not None)
        excerpt = compiler_excerpt(words, source_dir)
        raise CandidateError("compile_error", f"{names} did not compile", excerpt=excerpt)
    return [made[source] for source in sources]


def for_want_of_headers(ran: toolchain.Ran | None) -> bool:
    """Whether a compilation failed because the light header declares too little."""
    return ran is not None and not ran.ok and _NEEDS_FULL_HEADER.search(ran.output) is not None


def object_key(request: BuildRequest, source: str, recipe: Recipe, tools: Toolchain) -> str:
    """The name under which an object is kept: over everything that it depends on."""
    texts = {s["path"]: s["content"] for s in request.sources}
    parts = [OBJECTS, request.cuda_arch or "", tools.versions, *recipe.versions, recipe.standard]
    parts += [*recipe.define, *recipe.nvcc]
    for path in sorted({source, *_may_include(texts)}):
        parts += [path, texts[path]]
    return "object-" + toolchain.digest(source, *parts)


def _may_include(texts: dict[str, str]) -> list[str]:
    """The sources that another may include: headers, and whatever is named in an include."""
    every = "\n".join(texts.values())
    if _INCLUDED_BY_MACRO.search(every):
        return list(texts)
    named = {PurePosixPath(name).name for name in _INCLUDED.findall(every)}
    compiled = DEVICE_FILES + HOST_FILES
    return [p for p in texts if not p.endswith(compiled) or PurePosixPath(p).name in named]


def _found(folders: Folders, key: str) -> Path | None:
    if folders.cache is None:
        return None
    file = folders.cache / key / "object.o"
    return file if file.is_file() else None


def _compiled(
    request: BuildRequest,
    sources: Sequence[str],
    source_dir: Path,
    folders: Folders,
    recipe: Recipe,
    tools: Toolchain,
) -> list[Made]:
    keys = [object_key(request, source, recipe, tools) for source in sources]
    files = [folders.builds / key / "object.o" for key in keys]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
    arch = request.cuda_arch or ""
    jobs = zip(sources, files, strict=True)
    results = toolchain.run([compile_command(j, arch, source_dir, recipe, tools) for j in jobs])
    for key, file, ran in zip(keys, files, results, strict=True):
        if ran.ok:
            folders.publish(key, file.parent, "now")
    return [Made(*of) for of in zip(sources, files, results, strict=True)]


def compile_command(
    job: tuple[str, Path], arch: str, source_dir: Path, recipe: Recipe, tools: Toolchain
) -> list[str]:
    """The command that compiles one source.

    Args:
        job: the source's path below `source_dir`, and the object's.
        arch: what device code is built for, as '90a'.
        source_dir: root of the candidate's sources.
        recipe: headers and flags of the binding.
        tools: compilers.
    """
    source, target = job
    flags = [f"-std={recipe.standard}", "-O2", f"-I{source_dir}"]
    flags += [f"-I{folder}" for folder in recipe.include]
    flags += [f"-D{name}" for name in recipe.define]
    tail = ["-c", str(source_dir / source), "-o", str(target)]
    if source.endswith(DEVICE_FILES):
        code = f"arch=compute_{arch},code=sm_{arch}"
        device = [f"-gencode={code}", "-Xcompiler=-fPIC", "-lineinfo", "-Xptxas=-v", *recipe.nvcc]
        return [tools.require_nvcc(), *flags, *device, *tail]
    cuda = [f"-I{tools.cuda_home}/include"] if tools.cuda_home else []
    return [tools.require_cxx(), *flags, *cuda, "-fPIC", "-fdiagnostics-color=never", *tail]
