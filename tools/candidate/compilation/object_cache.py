"""Compiles one object file for each source, unless an earlier candidate's serves.

An agent changes a kernel far more often than the function that binds it to Python, and binding is
what costs a compiler its time. So each object is kept under a key over its own text, the texts that
it may include, the flags and all versions; a changed kernel beside an unchanged binding file is
compiled alone. Objects are handed over for keeping before any candidate code has run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...messages.candidate import BuildRequest
from ..faults import CandidateError, compiler_excerpt
from ..torch_shim import eligibility
from . import toolchain
from .compile_flags import CompileConfig
from .missing_headers import refuse_missing_library
from .sources import Folders
from .toolchain import Toolchain

OBJECTS_VERSION = "4"
"""Changes when flags here change, so that older objects are not taken for new ones."""
HOST_FILES = (".cpp", ".cc", ".cxx", ".c++")
DEVICE_FILES = (".cu",)
_INCLUDED = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^">\n]+)[">]', re.MULTILINE)
_MAY_READ = re.compile(r"include|import|embed|incbin|\basm\b|__asm|%:|\?\?|\\\s*\n")
"""What a source needs to read another: a directive, in any spelling, or the assembler's own."""
_ASSEMBLER_FAILED = re.compile(r"^ptxas (?:error|fatal|.*; error)", re.MULTILINE)
_REFUSAL = re.compile(r"^[^\n:]+:\d+:\d+: error: ", re.MULTILINE)
"""A compiler's word on the text itself; one that was stopped or had no memory left says others."""
_HIDDEN = re.compile(r"Permission denied|No such file|[Cc]annot open|file not found")
"""A compiler's word on a file that it may not have been shown."""
_REFUSED = "refused"
_SUPPORT = "(torch)"
OBJECT = "object.o"
_NEEDS_STANDARD_HEADER = re.compile(r"error.*\bstd\b", re.IGNORECASE)
_NEEDS_FULL_HEADER = re.compile(
    r"error.*(?:torch|\bat::|c10|pybind11|\bpy::|\bAT_\w|\bscalar_t\b)", re.IGNORECASE
)


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
        """Whether it compiled."""
        return self.ran is None or self.ran.ok


def compile_objects(
    request: BuildRequest,
    source_dir: Path,
    folders: Folders,
    config: CompileConfig,
    tools: Toolchain,
) -> list[Made]:
    """Finds or compiles an object for every source, side by side.

    Where the config's headers only declare torch, an object with what they declare is added.

    Raises:
        CandidateError: of kind 'compile_error' when one does not compile, 'entry_point' when there
            is nothing to compile, 'toolchain' when a compiler is missing.
    """
    sources = [s["path"] for s in request.sources if s["path"].endswith(DEVICE_FILES + HOST_FILES)]
    if not sources:
        raise CandidateError("entry_point", "None of the sources is a .cu or .cpp file")
    builder = _ObjectBuilder(request, source_dir, folders, tools)
    made: dict[str, Made] = {}
    while config.support is not None and config.retry is not None and _SUPPORT not in made:
        made |= builder.with_support([s for s in sources if s not in made], config)
        config = config.retry
    builder.without_support(sources, config.base, made)
    failed = [m for m in made.values() if not m.ok]
    if failed:
        toolchain.refuse_late([m.ran for m in failed if m.ran is not None])
        names = ", ".join(m.source for m in failed)
        words = "\n".join(m.ran.output for m in failed if m.ran is not None)
        refuse_missing_library(words, (s["path"] for s in request.sources))
        excerpt = compiler_excerpt(words, source_dir)
        raise CandidateError("compile_error", f"{names} did not compile", excerpt=excerpt)
    return [made[source] for source in (*sources, *made.keys() - set(sources))]


def failed_for_headers(ran: toolchain.Ran | None, config: CompileConfig) -> bool:
    """Whether a compilation may have failed because the config's headers declare too little.

    A header with types of its own lacks so much, the standard headers that torch's include among
    it, that any word of the compiler may be due to it; only the assembler's cannot.
    """
    if ran is None or ran.ok or ran.stopped or config.retry is None:
        return False
    if config.own_types:
        return _ASSEMBLER_FAILED.search(ran.output) is None
    if config.support is not None and _NEEDS_STANDARD_HEADER.search(ran.output):
        return True
    return _NEEDS_FULL_HEADER.search(ran.output) is not None


def config_for(request: BuildRequest, source: str, config: CompileConfig) -> CompileConfig:
    """The config of one source: headers that need support are for those that may include them."""
    if config.support is None:
        return config
    texts = {s["path"]: s["content"] for s in request.sources}
    reach = {source, *_may_include(texts)}
    return config if any(eligibility.names_torch(texts[path]) for path in reach) else config.base


@dataclass(frozen=True)
class _ObjectBuilder:
    """Makes the objects of one request."""

    request: BuildRequest
    source_dir: Path
    folders: Folders
    tools: Toolchain

    def with_support(self, sources: Sequence[str], config: CompileConfig) -> dict[str, Made]:
        """Objects of the sources that this config serves, and what supports them.

        A type of the shim is not torch's, so sources that share one must all have it: where
        one does not compile with it, none of them is given back.
        """
        which = {source: config_for(self.request, source, config) for source in sources}
        shimmed = [source for source, its in which.items() if its is config]
        if not shimmed or self._known_without(shimmed, config):
            return {}
        support = self.folders.builds / support_key(config, self.tools)
        if _found(self.folders, support.name, _REFUSED) is not None:
            return {}
        made = {s: Made(s, file) for s in sources if (file := self._found(s, which[s]))}
        jobs = [(source, which[source]) for source in sources if source not in made]
        found = _found(self.folders, support.name)
        beside: list[list[str]] = []
        if found is None:
            support.mkdir(parents=True, exist_ok=True)
            beside = [support_command(config, support / OBJECT, self.tools)]
        said: list[toolchain.Ran] = []
        made |= self._compiled(jobs, beside, said)
        usable = found is not None or self._publish_support(support, said[0])
        if not usable or any(failed_for_headers(made[s].ran, config) for s in shimmed):
            return {source: its for source, its in made.items() if source not in shimmed}
        return made | {_SUPPORT: Made(_SUPPORT, found or support / OBJECT)}

    def without_support(
        self, sources: Sequence[str], config: CompileConfig, made: dict[str, Made]
    ) -> None:
        """Adds the other objects; with the slower config where the first declares too little."""
        attempts = [r for r in (config, config.retry) if r is not None]
        for source in (source for source in sources if source not in made):
            files = (file for r in attempts if (file := self._found(source, r)) is not None)
            if (file := next(files, None)) is not None:
                made[source] = Made(source, file)
        missing = [source for source in sources if source not in made]
        for attempt in attempts:
            made |= self._compiled([(source, attempt) for source in missing])
            missing = [s for s in sources if failed_for_headers(made[s].ran, attempt)]

    def _known_without(self, sources: Sequence[str], config: CompileConfig) -> bool:
        """Whether objects of all sources by the slower configs are in the cache already."""
        slower: list[CompileConfig] = []
        while (config := config.retry or config) not in slower:
            slower.append(config)
        return all(any(self._found(s, r) is not None for r in slower) for s in sources)

    def _found(self, source: str, config: CompileConfig) -> Path | None:
        return _found(self.folders, self._key(source, config))

    def _file(self, source: str, config: CompileConfig) -> Path:
        return self.folders.builds / self._key(source, config) / OBJECT

    def _key(self, source: str, config: CompileConfig) -> str:
        texts = _in_key(self.request, source, self.folders.private)
        return object_key(self.request, source, texts, config, self.tools)

    def _command(self, source: str, config: CompileConfig) -> list[str]:
        file = self._file(source, config)
        file.parent.mkdir(parents=True, exist_ok=True)
        arch = self.request.cuda_arch or ""
        return compile_command((source, file), arch, self.source_dir, config, self.tools)

    def _sight(self, source: str, config: CompileConfig) -> toolchain.Sight | None:
        """What the compiler of a source sees: the texts that are in its object's key."""
        private = self.folders.private
        if not toolchain.can_hide(private):
            return None
        own = [*map(Path, config.include), *([config.support] if config.support else [])]
        files = [self.source_dir / path for path in _in_key(self.request, source, private)]
        product = self._file(source, config).parent
        return toolchain.Sight(self.tools.roots, (*own, *files), product)

    def _compiled(
        self,
        jobs: Sequence[tuple[str, CompileConfig]],
        beside: Sequence[list[str]] = (),
        said: list[toolchain.Ran] | None = None,
    ) -> dict[str, Made]:
        """Compiles, and publishes what compiled; what runs beside it answers in `said`."""
        commands = [self._command(*job) for job in jobs]
        sights = [self._sight(*job) for job in jobs]
        results = toolchain.run([*commands, *beside], sights=sights)
        if said is not None:
            said += results[len(jobs) :]
        made: dict[str, Made] = {}
        for (source, config), command, sight, ran in zip(
            jobs, commands, sights, results, strict=False
        ):
            file = self._file(source, config)
            if sight is not None and not ran.ok and _HIDDEN.search(ran.output):
                # It reads what its key leaves out; so the object is for this candidate alone.
                ran = toolchain.run([command])[0]
            elif ran.ok:
                self.folders.publish(file.parent.name)
            if not ran.ok:
                file.unlink(missing_ok=True)
            made[source] = Made(source, file, ran)
        return made

    def _publish_support(self, folder: Path, ran: toolchain.Ran) -> bool:
        """Publishes the support, or that this torch refuses it.

        Where it failed by accident, that is remembered here and nowhere else.
        """
        if not ran.ok:
            (folder / OBJECT).unlink(missing_ok=True)
            (folder / _REFUSED).write_text(ran.output)
        if ran.ok or _REFUSAL.search(ran.output) is not None:
            self.folders.publish(folder.name)
        return ran.ok


def find_support(config: CompileConfig, folders: Folders, tools: Toolchain) -> Path | None:
    """The object with what the config's headers only declare, compiled and kept if need be.

    None where this torch refuses it.
    """
    folder = folders.builds / support_key(config, tools)
    known = _found(folders, folder.name)
    if known is not None or _found(folders, folder.name, _REFUSED) is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    ran = toolchain.run([support_command(config, folder / OBJECT, tools)])[0]
    if not ran.ok:
        (folder / OBJECT).unlink(missing_ok=True)
        (folder / _REFUSED).write_text(ran.output)
        return None
    folders.publish(folder.name)
    return folder / OBJECT


def support_key(config: CompileConfig, tools: Toolchain) -> str:
    """The cache key of the support; nothing of a candidate is in it."""
    words = support_command(config, Path(), tools)
    parts = [word for word in words if word.startswith(("-D", "-O", "-std", "-f"))]
    parts += [tools.versions, *config.base.versions, *eligibility.SUPPORT_TEXTS]
    return "object-" + toolchain.digest(OBJECTS_VERSION, "support", *parts)


def support_command(config: CompileConfig, target: Path, tools: Toolchain) -> list[str]:
    """Compiles the support; no folder that a candidate's sources lie in is on its path."""
    assert config.support is not None
    base = config.base
    flags = [f"-std={config.standard}", "-O1", "-w", "-fPIC", "-fdiagnostics-color=never"]
    flags += [f"-I{folder}" for folder in base.include]
    flags += [f"-D{name}" for name in (*base.define, *config.support_define)]
    flags += [f"-I{tools.cuda_home}/include"] if tools.cuda_home else []
    return [tools.require_cxx(), *flags, "-c", str(config.support), "-o", str(target)]


def object_key(
    request: BuildRequest,
    source: str,
    texts: Mapping[str, str],
    config: CompileConfig,
    tools: Toolchain,
) -> str:
    """The cache key of an object, over everything that it depends on; `texts` are all it reads."""
    parts = [
        OBJECTS_VERSION,
        request.cuda_arch or "",
        tools.versions,
        *config.versions,
        config.standard,
    ]
    parts += [*config.define, *config.nvcc, *config.cxx]
    for path in sorted(texts):
        parts += [path, texts[path]]
    return "object-" + toolchain.digest(source, *parts)


def _in_key(request: BuildRequest, source: str, private: Path) -> dict[str, str]:
    """The texts that go into an object's key, by path; its compiler is shown no others.

    They are all of them where nothing keeps a compiler from reading the others.
    """
    texts = {s["path"]: s["content"] for s in request.sources}
    if not toolchain.can_hide(private):
        return texts
    return {path: texts[path] for path in sorted({source, *_may_include(texts)})}


def _may_include(texts: dict[str, str]) -> list[str]:
    """The sources that another may include: headers, and whatever is named in an include.

    All of them, where any source could read another in a way that is not an include as people write
    it: a comment between `#` and `include`, a digraph, a spliced line, a name made by a macro,
    `__has_include`, `#import`, `#embed`, or an assembler's `.incbin`. Where the text deceives
    this, the compiler does not find the file.
    """
    every = "\n".join(texts.values())
    if _MAY_READ.search(_INCLUDED.sub("", every)):
        return list(texts)
    named = {PurePosixPath(name).name for name in _INCLUDED.findall(every)}
    compiled = DEVICE_FILES + HOST_FILES
    return [p for p in texts if not p.endswith(compiled) or PurePosixPath(p).name in named]


def _found(folders: Folders, key: str, name: str = OBJECT) -> Path | None:
    """The path of a file that this process or an earlier one made; None without."""
    for entry in (folders.builds / key, folders.fetch(key)):
        if entry is not None and (entry / name).is_file():
            return entry / name
    return None


def compile_command(
    job: tuple[str, Path], arch: str, source_dir: Path, config: CompileConfig, tools: Toolchain
) -> list[str]:
    """The command that compiles one source.

    Args:
        job: the source's path below `source_dir`, and the object's.
        arch: what device code is built for, as '90a'.
        source_dir: root of the candidate's sources.
        config: headers and flags of the binding.
        tools: compilers.
    """
    source, target = job
    flags = [f"-std={config.standard}", "-O2", f"-I{source_dir}"]
    flags += [f"-I{folder}" for folder in config.include]
    flags += [f"-D{name}" for name in config.define]
    tail = ["-c", str(source_dir / source), "-o", str(target)]
    if source.endswith(DEVICE_FILES):
        code = f"arch=compute_{arch},code=sm_{arch}"
        device = [f"-gencode={code}", "-Xcompiler=-fPIC", "-lineinfo", "-Xptxas=-v", *config.nvcc]
        return [tools.require_nvcc(), *flags, *device, *tail]
    flags += config.cxx
    cuda = [f"-I{tools.cuda_home}/include"] if tools.cuda_home else []
    return [tools.require_cxx(), *flags, *cuda, "-fPIC", "-fdiagnostics-color=never", *tail]
