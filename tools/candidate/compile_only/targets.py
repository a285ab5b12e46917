"""Compiles a candidate for targets that need not be here.

Triton: every kernel that one call would launch. CUDA: nvcc compiles each `.cu` file, and each text
that Python hands to a CUDA compiler. What came out is read with NVIDIA's own tools. It says nothing
of speed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ...messages.candidate import (
    BuildRequest,
    CandidateFault,
    Compiled,
    CompiledKernel,
    CompileRequest,
)
from ...messages.frames import EXCERPT_CHARACTERS
from ..calls.shared_memory import MappedArena
from ..compilation import native as build_native
from ..compilation import toolchain
from ..compilation.builders import LoadedCandidate
from ..compilation.exports import check_exports
from ..compilation.missing_headers import refuse_missing_library
from ..compilation.sources import Folders
from ..cpu import kernel_libraries
from ..faults import CandidateError, compiler_excerpt, cut, fault_of
from . import cubin, inline_sources
from .code_texts import CodeTexts
from .compile_errors import assembler_words, block_sizes, in_python
from .dsl_kernels import DslKernels
from .dumps import dump
from .host_call import call_host_function, link_with_stub
from .triton_launches import TritonCompiler

FIRST_WITH_FEATURES = 90
"""The first architecture with instructions that only it has."""
UNCALLED = (
    "{what} was not called against a stub of the driver, so the grids, blocks and arguments of its "
    "launches were not checked"
)
"""What compiling alone leaves open."""
_OF_THE_HOST = re.compile(r'has "C" linkage|cannot overload|conflicts with')
"""A name that nvcc's headers of the host have taken, and NVRTC's may not have."""


class TargetCompiler:
    """Compiles one candidate for targets, as often as it is asked; a failure is part of an answer.

    Args:
        candidate: what was built.
        folders: where products may be written.
    """

    def __init__(self, candidate: LoadedCandidate, folders: Folders) -> None:
        self._candidate = candidate
        self._folders = folders
        self._triton = TritonCompiler(candidate, folders)
        self._dsl = DslKernels()
        self._device_code_given = False
        self._host_library: Path | None = None
        self._names: dict[str, str] = {}
        self._inline_given = 0
        self._code: CodeTexts | None = None

    def compile(
        self,
        request: CompileRequest,
        arena: MappedArena | None,
        code: CodeTexts | None = None,
    ) -> Compiled:
        """Compiles for each target of the request.

        Args:
            arena: where the arguments lie; not needed for CUDA sources.
            code: takes the texts of what is compiled.
        """
        self._code = code
        try:
            if self._candidate.request.language in ("cuda", "cpp"):
                return self._cuda(request, arena)
            if arena is None:
                raise CandidateError("out_of_order", "No arena was mapped")
            self._dsl.prepare()
            compiled = self._with_dsl(self._triton.compile(request, arena, code), request)
            return self._with_inline(compiled, request)
        except CandidateError as error:
            return Compiled(fault=error.fault)
        except Exception as error:
            # What the candidate raises is caught where it is called: this is a fault of ours.
            said = fault_of(error, self._candidate.source_dir).message
            words = cut(f"The check itself failed: {said}", 2_000)
            return Compiled(fault=CandidateFault(kind="out_of_order", message=words))

    def _cuda(self, request: CompileRequest, arena: MappedArena | None) -> Compiled:
        """Device code, given once, and a call of the host function on the arguments."""
        compiled = Compiled()
        if not self._device_code_given:
            self._device_code_given = True
            compiled = _compile_cuda(self._candidate, request, self._folders, self._code)
            if self._code is not None:
                return compiled  # what is asked for is device code alone
            if compiled.fault is None and not compiled.failures:
                self._host_library = self._linked(request)
                if self._host_library is None:
                    self._require_host_code()
                    words = f"{UNCALLED.format(what='The host function')}: it could not be linked."
                    return compiled.model_copy(update={"notes": [*compiled.notes, words]})
        if self._host_library is None or arena is None:
            return compiled
        arguments = arena.values(request.arguments)
        if self._candidate.request.destination_passing_style:
            arguments += [arena.tensor(ref) for ref in request.outputs]
        call = call_host_function(self._host_library, self._candidate.request, arguments)
        if call is None:
            self._host_library = None
            words = f"{UNCALLED.format(what='The host function')}: the call did not come to an end."
            return compiled.model_copy(update={"notes": [*compiled.notes, words]})
        named = [name for name in dict.fromkeys(call.kernels) if name not in self._names]
        self._names |= dict(zip(named, _demangled(named), strict=True))
        fault = call.fault(self._names)
        grids = {self._names.get(name, name)[:500]: found for name, found in call.grids.items()}
        notes = [*compiled.notes, *call.notes()]
        return compiled.model_copy(update={"notes": notes, "fault": fault, "grids": grids})

    def _with_dsl(self, compiled: Compiled, request: CompileRequest) -> Compiled:
        """Adds what other languages of Python have compiled, for the one target of this process."""
        target = next(iter(request.targets), "")
        found = self._dsl.collected(target)
        if self._code is not None:
            for one in found:
                ptx = one.file.with_suffix(".ptx")
                text = ptx.read_text(encoding="utf-8", errors="replace") if ptx.is_file() else ""
                self._code.add_cuda(one.file, target, text, "", {one.symbol: one.kernel.name})
        if not found:
            return compiled
        fault = compiled.fault  # a call that reaches no Triton launch has reached others
        languages = dict.fromkeys(one.language for one in found)
        notes = [f"{UNCALLED.format(what=f'What {name} compiles')}." for name in languages]
        return compiled.model_copy(
            update={
                "kernels": [*compiled.kernels, *(one.kernel for one in found)],
                "fault": None if fault is not None and fault.kind == "out_of_order" else fault,
                "notes": [*compiled.notes, *notes],
            }
        )

    def _with_inline(self, compiled: Compiled, request: CompileRequest) -> Compiled:
        """Adds the CUDA sources that the candidate's Python has handed to a compiler since."""
        kernels, failures = list(compiled.kernels), dict(compiled.failures)
        notes: dict[str, None] = {}
        for name in kernel_libraries.loaded():
            words = f"{name}, which it loads, holds CUDA kernels. {UNCALLED.format(what='It')}."
            notes[words] = None
        fault = compiled.fault
        if inline_sources.collected() and fault is not None and fault.kind == "out_of_order":
            fault = None  # a call that reaches no Triton launch reaches others
        for number in range(self._inline_given, len(inline_sources.collected())):
            build = inline_sources.request_for(self._candidate.request, number)
            folder = self._folders.builds / f"inline_{number}"
            folder.mkdir(parents=True, exist_ok=True)
            (file,) = build.sources
            (folder / file["path"]).write_text(file["content"], encoding="utf-8")
            made = _compile_device_code(build, folder, request, self._folders, self._code)
            self._inline_given = number + 1
            notes[f"{UNCALLED.format(what='What Python compiles')}."] = None
            fault = fault or made.fault
            kernels += made.kernels
            for target, said in made.failures.items():
                own = file["path"], file["content"], self._candidate.source_dir
                text = in_python(said, *own)
                if _OF_THE_HOST.search(text) and build.binding is None:
                    notes[f"{file['path']} was not checked: {text.splitlines()[0]}"] = None
                else:
                    failures[target] = failures.get(target, "") + text
        return compiled.model_copy(
            update={
                "kernels": kernels[:400],
                "failures": failures,
                "notes": [*compiled.notes, *(cut(note, 400) for note in notes)],
                "fault": fault,
            }
        )

    def _require_host_code(self) -> None:
        """Raises where C++ that nothing has compiled yet does not compile.

        Where this machine lacks a header for it, what is said of the host function is enough.
        """
        candidate, folders = self._candidate, self._folders
        tools = toolchain.find_toolchain(os.environ)  # noqa: TID251 - the candidate's own environment
        try:
            build_native.require_host_code(candidate.request, candidate.source_dir, folders, tools)
        except CandidateError as error:
            if error.fault.kind == "compile_error":
                raise

    def _linked(self, request: CompileRequest) -> Path | None:
        target, facts = next(iter(request.targets.items()))
        if self._candidate.request.cuda_arch is not None:
            return None
        tools = toolchain.find_toolchain(os.environ)  # noqa: TID251 - the candidate's own environment
        return link_with_stub(
            self._candidate.request,
            self._candidate.source_dir,
            self._folders,
            tools,
            real_architecture(target),
            facts,
        )


def _compile_cuda(
    candidate: LoadedCandidate, request: CompileRequest, folders: Folders, code: CodeTexts | None
) -> Compiled:
    build = candidate.request
    if not build_native.device_files(build):
        return Compiled(fault=CandidateFault(kind="toolchain", message="There is no .cu file"))
    compiled = _compile_device_code(build, candidate.source_dir, request, folders, code)
    if not compiled.failures:
        check_exports(build)
    return compiled


def _compile_device_code(
    build: BuildRequest,
    source_dir: Path,
    request: CompileRequest,
    folders: Folders,
    code: CodeTexts | None,
) -> Compiled:
    """Compiles every .cu file for every target."""
    sources = build_native.device_files(build)
    tools = toolchain.find_toolchain(os.environ)  # noqa: TID251 - the candidate's own environment
    tools.require_nvcc()
    pairs = [(source, target) for target in request.targets for source in sources]
    files = [
        folders.builds / f"{Path(source).stem}-{index}-{target}.cubin"
        for index, (source, target) in enumerate(pairs)
    ]
    folders.builds.mkdir(parents=True, exist_ok=True)
    results = build_native.compile_device_code(
        build,
        source_dir,
        folders,
        tools,
        [(s, real_architecture(t), f) for (s, t), f in zip(pairs, files, strict=True)],
    )
    toolchain.refuse_late(results)
    written = [file for file in files if file.is_file()]
    texts = dict(zip(written, dump(written), strict=True))
    kernels: list[CompiledKernel] = []
    failures: dict[str, str] = {}
    for (_, target), file, ran in zip(pairs, files, results, strict=True):
        if ran.ok:
            ptx = _ptx_of(file)
            made = _read_cuda(ran.output, texts.get(file, ("", ""))[1], target, ptx)
            kernels += made.values()
            if code is not None:
                names = {symbol: kernel.name for symbol, kernel in made.items()}
                code.add_cuda(file, target, ptx, ran.output, names)
        else:
            refuse_missing_library(ran.output, (s["path"] for s in build.sources))
            excerpt = assembler_words(ran.output, source_dir)
            excerpt = excerpt or compiler_excerpt(ran.output, source_dir)
            failures[target] = cut(failures.get(target, "") + excerpt, EXCERPT_CHARACTERS)
    return Compiled(kernels=kernels[:400], failures=failures)


def real_architecture(target: str) -> str:
    """The architecture to compile for: '90a' for 'sm_90', '80' for 'sm_80', which has no 80a."""
    architecture = target.removeprefix("sm_")
    plain = not architecture.isdigit() or int(architecture) < FIRST_WITH_FEATURES
    return architecture if plain else f"{architecture}a"


def _ptx_of(file: Path) -> str:
    """The PTX that a cubin was assembled from, kept beside it."""
    texts = sorted(build_native.steps_of(file).glob("*.ptx"))
    return texts[0].read_text(encoding="utf-8", errors="replace") if texts else ""


def _read_cuda(log: str, sass: str, target: str, ptx: str) -> dict[str, CompiledKernel]:
    """The kernels of a cubin by symbol."""
    opcodes = cubin.read_opcodes(sass)
    threads = block_sizes(ptx)
    found = cubin.read_assembler_log(log)
    names = _demangled([name for name, _ in found])
    return {
        name: CompiledKernel(
            name=plain[:500],
            target=target,
            registers=resources.registers,
            shared_bytes=resources.shared_bytes,
            stack_bytes=resources.stack_bytes,
            spill_bytes=resources.spill_bytes,
            threads=threads.get(name),
            opcodes=opcodes.get(name, {}),
        )
        for ((name, _), resources), plain in zip(found.items(), names, strict=True)
    }


def _demangled(names: Sequence[str]) -> list[str]:
    """The names as people write them: without parameters, but where two would be the same."""
    tool = shutil.which("c++filt")
    if not tool or not names:
        return list(names)
    short, whole = (
        ran.output.splitlines() for ran in toolchain.run([[tool, "-p", *names], [tool, *names]])
    )
    if not len(short) == len(whole) == len(names):
        return list(names)
    return [s if short.count(s) == 1 else w for s, w in zip(short, whole, strict=True)]
