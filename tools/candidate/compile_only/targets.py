"""Compiles every kernel that one call would launch, for targets that need not be here.

Triton: the candidate is called on the CPU with a fake driver active, and each launch compiles
its kernel for the target and goes no further; an autotuned kernel in every configuration.
CUDA: nvcc compiles each `.cu` file. What came out is read with NVIDIA's own tools.

It cannot see kernels that are launched only after looking at a result, since nothing computes one,
and says nothing of speed. It runs in a process where Triton does not interpret.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...messages.candidate import CandidateFault, Compiled, CompiledKernel, CompileRequest
from ...messages.frames import EXCERPT_CHARACTERS
from ..calls.shared_memory import MappedArena
from ..compilation import native as build_native
from ..compilation import toolchain
from ..compilation.builders import LoadedCandidate
from ..compilation.exports import check_exports
from ..compilation.missing_headers import refuse_missing_library
from ..compilation.sources import Folders
from ..cpu.fake_device import OnTheCpu, answer_for_cuda, use_fake_driver
from ..faults import CandidateError, compiler_excerpt, cut, fault_of
from . import cubin
from .compile_errors import assembler_words, block_sizes, launched_at, not_compiled

BUDGET_S = 100.0
"""After it, further configurations of an autotuned kernel are left out."""
MOST_DUMPS = 96
MOST_NOTES = 12
FIRST_WITH_FEATURES = 90
"""The first architecture with instructions that only it has."""
_SIDE_BY_SIDE = 8


@dataclass
class _CompiledLaunches:
    """Kernels compiled by the launches for one target."""

    source_dir: Path
    shared_bytes: int
    """Shared memory that a block may have."""
    kernels: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """By hash and name: the Triton function and its compiled kernel."""
    refused: dict[str, str] = field(default_factory=dict)
    """Configurations of autotuned kernels that do not compile, and why."""


class _NotCompiledError(Exception):
    """Raised in place of whatever Triton raised while compiling a kernel."""

    def __init__(self, function: str) -> None:
        super().__init__(function)
        self.function = function


def compile_for_targets(
    candidate: LoadedCandidate, request: CompileRequest, arena: MappedArena | None, folders: Folders
) -> Compiled:
    """Compiles a candidate for each target; its failure is part of the answer.

    Args:
        candidate: what was built.
        request: targets, and the arguments that kernels are specialised for.
        arena: where the arguments lie; not needed for CUDA sources.
        folders: where products may be written.
    """
    try:
        if candidate.request.language in ("cuda", "cpp"):
            return _compile_cuda(candidate, request, folders)
        if arena is None:
            raise CandidateError("out_of_order", "No arena was mapped")
        return _compile_triton(candidate, request, arena, folders)
    except CandidateError as error:
        return Compiled(fault=error.fault)
    except Exception as error:
        # What the candidate raises is caught where it is called: this is a fault of ours.
        words = f"The check itself failed: {fault_of(error, candidate.source_dir).message}"
        return Compiled(fault=CandidateFault(kind="out_of_order", message=cut(words, 2_000)))


def _compile_triton(
    candidate: LoadedCandidate, request: CompileRequest, arena: MappedArena, folders: Folders
) -> Compiled:
    arguments = arena.values(request.arguments)
    if candidate.request.destination_passing_style:
        arguments += [arena.tensor(ref) for ref in request.outputs]
    deadline = time.monotonic() + BUDGET_S
    kernels: list[CompiledKernel] = []
    failures: dict[str, str] = {}
    refused: dict[tuple[str, str], list[str]] = {}
    stopped = ""
    for target, facts in request.targets.items():
        seen = _CompiledLaunches(candidate.source_dir, facts.shared_bytes_per_block)
        use_fake_driver(facts)
        answer_for_cuda(facts)
        try:
            with launches_compile_only(seen, deadline), OnTheCpu(), torch.no_grad():
                candidate.function(*arguments)
        except BaseException as error:
            if isinstance(error, _NotCompiledError) and error.__cause__ is not None:
                failures[target] = not_compiled(
                    error.__cause__, error, candidate.source_dir, error.function
                )
            else:
                stopped = _stopped(error, candidate.source_dir)
        kernels += _described(seen, target, folders)
        for which in seen.refused.items():
            refused.setdefault(which, []).append(target)
    fault = None
    if not kernels and not failures:
        why = f": {stopped}" if stopped else ""
        fault = CandidateFault(
            kind="out_of_order", message=cut(f"The call reached no Triton launch{why}", 2_000)
        )
    notes = [
        cut(f"{which} does not compile for {' and '.join(targets)}: {why}.", 400)
        for (which, why), targets in refused.items()
    ]
    if stopped and fault is None:
        notes.insert(0, f"The call ended early, kernels after it are not shown: {stopped}.")
    return Compiled(kernels=kernels[:400], failures=failures, notes=notes[:MOST_NOTES], fault=fault)


def _stopped(error: BaseException, source_dir: Path) -> str:
    """The exception that ended the call early, with the line of the candidate."""
    place = launched_at(error, source_dir)
    return cut(fault_of(error, source_dir).message + (f" ({place})" if place else ""), 600)


@contextlib.contextmanager
def launches_compile_only(seen: _CompiledLaunches, deadline: float) -> Iterator[None]:
    """Has every Triton launch compile its kernel, remember it and launch nothing."""
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.jit import JITFunction

    kept = (JITFunction.run, Autotuner.run, Autotuner._bench)
    launch, tune = kept[:2]

    def compile_one(self: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        try:
            kernel = launch(self, *arguments, grid=grid, warmup=True, **options)
            refuse_too_much_shared(kernel, seen.shared_bytes)
        except Exception as error:
            raise _NotCompiledError(getattr(self, "__name__", "kernel")) from error
        if kernel is not None:
            seen.kernels[f"{kernel.name} {kernel.hash}"] = (self, kernel)
        return kernel

    def compile_configuration(self: Any, *arguments: Any, config: Any, **meta: Any) -> list[float]:
        options = meta | config.all_kwargs()
        if time.monotonic() > deadline and seen.kernels:
            return [float("inf")] * 3
        if config.pre_hook is not None:
            config.pre_hook({**self.nargs, **options})
        try:
            self.fn.run(*arguments, **options)
        except _NotCompiledError as error:
            cause = error.__cause__ or error
            why = not_compiled(cause, cause, seen.source_dir, error.function)
            seen.refused[_named(config)] = why.partition("\n")[0]
            return [float("inf")] * 3
        return [1.0] * 3

    def tune_afresh(self: Any, *arguments: Any, **options: Any) -> Any:
        self.cache.clear()
        return tune(self, *arguments, **options)

    JITFunction.run = compile_one
    Autotuner.run = tune_afresh
    Autotuner._bench = compile_configuration
    try:
        yield
    finally:
        JITFunction.run, Autotuner.run, Autotuner._bench = kept


def _named(config: Any) -> str:
    """An autotuner's configuration, without the options that it leaves alone."""
    options = {"num_warps": config.num_warps, "num_stages": config.num_stages}
    return ", ".join(f"{name}={value}" for name, value in {**config.kwargs, **options}.items())


def refuse_too_much_shared(kernel: Any, most: int) -> None:
    """Raises CandidateError ('out_of_resources') when a kernel needs over `most` bytes a block."""
    shared = getattr(getattr(kernel, "metadata", None), "shared", 0) or 0
    if shared > most:
        raise CandidateError(
            "out_of_resources",
            f"{kernel.name} needs {shared} bytes of shared memory; a block may have {most}",
        )


def _described(seen: _CompiledLaunches, target: str, folders: Folders) -> list[CompiledKernel]:
    """Reads resources and instructions of Triton's cubins."""
    entries = list(seen.kernels.values())
    files: list[Path] = []
    place = folders.builds / f"cubin-{target}"
    place.mkdir(parents=True, exist_ok=True)
    for index, (_, kernel) in enumerate(entries[:MOST_DUMPS]):
        file = place / f"{index}.cubin"
        file.write_bytes(kernel.asm["cubin"])
        files.append(file)
    texts = dump(files)
    described: list[CompiledKernel] = []
    for index, (function, kernel) in enumerate(entries):
        usage, sass = texts[index] if index < len(texts) else ("", "")
        resources = _of(cubin.read_resources(usage), kernel.name, cubin.Resources())
        opcodes = _of(cubin.read_opcodes(sass), kernel.name, {})
        metadata = kernel.metadata
        shared = max(getattr(metadata, "shared", 0) or 0, resources.shared_bytes or 0)
        described.append(
            CompiledKernel(
                name=kernel.name[:500],
                target=target,
                config=configuration(function, kernel),
                registers=resources.registers,
                shared_bytes=shared,
                stack_bytes=resources.stack_bytes,
                spill_bytes=cubin.spilled_bytes(resources, opcodes),
                threads=getattr(metadata, "num_warps", 0) * 32 or None,
                opcodes=opcodes,
            )
        )
    return described


def configuration(function: Any, kernel: Any) -> dict[str, int | float | str | bool | None]:
    """A Triton kernel's compile-time constants and launch options, as far as they are plain."""
    found: dict[str, int | float | str | bool | None] = {}
    names = list(getattr(function, "arg_names", ()))
    for path, value in dict(getattr(kernel.src, "constants", {})).items():
        position = path[0] if isinstance(path, tuple) and path else None
        if isinstance(position, int) and position < len(names):
            value = getattr(value, "value", value)
            if isinstance(value, (bool, int, float)):
                found[names[position]] = value
            else:
                found[names[position]] = str(value)[:80]
    for option in ("num_warps", "num_stages", "num_ctas", "maxnreg"):
        value = getattr(kernel.metadata, option, None)
        if isinstance(value, int):
            found[option] = value
    return found


def _of(named: dict[str, Any], name: str, otherwise: Any) -> Any:
    """A kernel's entry by name; the only entry where a cubin holds one kernel."""
    if name in named:
        return named[name]
    return next(iter(named.values())) if len(named) == 1 else otherwise


def dump(files: Sequence[Path]) -> list[tuple[str, str]]:
    """Prints resources and instructions of cubins; empty texts where no tool is found."""
    tool = _cuobjdump()
    if not tool:
        return [("", "")] * len(files)
    commands = [[tool, how, str(file)] for file in files for how in ("-res-usage", "-sass")]
    outputs: list[str] = []
    for start in range(0, len(commands), _SIDE_BY_SIDE):
        outputs += [ran.output for ran in toolchain.run(commands[start : start + _SIDE_BY_SIDE])]
    return list(zip(outputs[::2], outputs[1::2], strict=True))


def _cuobjdump() -> str:
    tools: list[Callable[[], str | None]] = [
        lambda: __import__("triton").knobs.nvidia.cuobjdump.path,
        lambda: shutil.which("cuobjdump"),
    ]
    for find in tools:
        with contextlib.suppress(Exception):
            found = find()
            if found:
                return found
    return ""


def _compile_cuda(
    candidate: LoadedCandidate, request: CompileRequest, folders: Folders
) -> Compiled:
    build = candidate.request
    sources = build_native.device_files(build)
    if not sources:
        return Compiled(fault=CandidateFault(kind="toolchain", message="There is no .cu file"))
    tools = toolchain.find_toolchain(os.environ)  # noqa: TID251 - the candidate's own environment
    tools.require_nvcc()
    pairs = [(source, target) for target in request.targets for source in sources]
    files = [folders.builds / f"{index}-{target}.cubin" for index, (_, target) in enumerate(pairs)]
    folders.builds.mkdir(parents=True, exist_ok=True)
    results = build_native.compile_device_code(
        build,
        candidate.source_dir,
        folders,
        tools,
        [(s, real_architecture(t), f) for (s, t), f in zip(pairs, files, strict=True)],
    )
    made = [file for file in files if file.is_file()]
    texts = dict(zip(made, dump(made), strict=True))
    kernels: list[CompiledKernel] = []
    failures: dict[str, str] = {}
    for (_, target), file, ran in zip(pairs, files, results, strict=True):
        if ran.ok:
            kernels += _read_cuda(ran.output, texts.get(file, ("", ""))[1], target, _ptx_of(file))
        else:
            refuse_missing_library(ran.output, (s["path"] for s in build.sources))
            excerpt = assembler_words(ran.output, candidate.source_dir)
            excerpt = excerpt or compiler_excerpt(ran.output, candidate.source_dir)
            failures[target] = cut(failures.get(target, "") + excerpt, EXCERPT_CHARACTERS)
    if not failures:
        check_exports(build)
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


def _read_cuda(log: str, sass: str, target: str, ptx: str) -> list[CompiledKernel]:
    opcodes = cubin.read_opcodes(sass)
    threads = block_sizes(ptx)
    found = cubin.read_assembler_log(log)
    names = _demangled([name for name, _ in found])
    return [
        CompiledKernel(
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
    ]


def _demangled(names: Sequence[str]) -> list[str]:
    tool = shutil.which("c++filt")
    if not tool or not names:
        return list(names)
    plain = toolchain.run([[tool, *names]])[0].output.splitlines()
    return plain if len(plain) == len(names) else list(names)
