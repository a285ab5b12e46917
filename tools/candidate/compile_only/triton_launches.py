"""Compiles what one call launches by Triton, for a target, and describes each launch.

A fake driver is active, and each launch compiles its kernel for the target and goes no further; an
autotuned kernel is compiled in every configuration. It cannot see kernels that are launched only
after looking at a result, since nothing computes one. It runs in a process where Triton does not
interpret.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...messages.candidate import (
    CandidateFault,
    Compiled,
    CompiledKernel,
    CompileRequest,
    DeviceFacts,
)
from ...messages.launches import CallLaunches, Launch
from ..calls.shared_memory import MappedArena
from ..compilation.builders import LoadedCandidate
from ..compilation.sources import Folders
from ..cpu.fake_device import answer_for_cuda, use_fake_driver
from ..cpu.fake_memory import lay, without_devices
from ..cpu.fake_tensors import OnTheCpu
from ..cpu.host_work import HostWork
from ..cpu.launches import LaunchLog, describe_launch, evaluated_grid, require_reach
from ..faults import CandidateError, cut, fault_of, own_line
from . import cubin
from .code_texts import CodeTexts
from .compile_errors import not_compiled
from .dumps import dump

BUDGET_S = 100.0
"""After it, further configurations of an autotuned kernel are left out."""
MOST_DUMPS = 96
MOST_NOTES = 12
MOST_KERNELS = 400


@dataclass
class _CompiledLaunches:
    """Kernels compiled by the launches of one call for one target."""

    source_dir: Path
    shared_bytes: int
    """Shared memory that a block may have."""
    kernels: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """By hash and name: the Triton function and its compiled kernel."""
    refused: dict[str, str] = field(default_factory=dict)
    """Configurations of autotuned kernels that do not compile, and why."""
    log: LaunchLog = field(default_factory=LaunchLog)
    place: int = 0
    choice: int | None = None
    """Which configuration an autotuner is at; None outside of one."""
    trying: bool = False
    """Whether the autotuner tries a configuration; afterwards it launches the one it chose."""
    tried: int = 0
    untuned: HostWork = field(default_factory=HostWork)
    """What host code did before the autotuner began; each configuration is tried after it."""

    def begin_tuning(self) -> None:
        """Called before an autotuner tries configurations."""
        self.choice, self.tried = 0, 0
        self.untuned = self.log.host_work.copy()

    def try_next(self) -> None:
        """Called before each configuration, which is described as if it were the only one."""
        self.choice, self.tried = self.tried, self.tried + 1
        self.log.host_work = self.untuned.copy()

    def describe(
        self, function: Any, arguments: Sequence[Any], options: Mapping[str, Any], grid: Any
    ) -> bool:
        """Remembers a launch before it is compiled; False for one that was tried before."""
        place = self.place
        if not self.trying:
            self.place += 1
            if self.tried:
                self.log.host_words()
                return False

        def described() -> Launch:
            programs = evaluated_grid(function, arguments, options, grid)
            launch = describe_launch(
                function, arguments, options, programs, place=place, choice=self.choice
            )
            changes = {"compiles": False, "before": self.log.host_words()}
            return launch.model_copy(update=changes)

        self.log.add_described(described)
        return True

    def compiled(self, kernel: Any) -> None:
        """Says of the launch described last which kernel it launches."""
        name = binary_name(kernel)
        if self.log.launches:
            last = self.log.launches[-1]
            self.log.launches[-1] = last.model_copy(update={"compiles": True, "binary": name})


class _NotCompiledError(Exception):
    """Raised in place of whatever Triton raised while compiling a kernel."""

    def __init__(self, function: str) -> None:
        super().__init__(function)
        self.function = function


def binary_name(kernel: Any) -> str:
    """The name under which launches refer to a compiled kernel."""
    return f"{kernel.name[:200]} {kernel.hash}"


class TritonCompiler:
    """Compiles the launches of calls, one call after another; describes each kernel once.

    Args:
        candidate: what was built.
        folders: where products may be written.
    """

    def __init__(self, candidate: LoadedCandidate, folders: Folders) -> None:
        self._candidate = candidate
        self._folders = folders
        self._known: set[tuple[str, str]] = set()

    def compile(
        self, request: CompileRequest, arena: MappedArena, code: CodeTexts | None = None
    ) -> Compiled:
        """Compiles what a call on the request's arguments launches, for each target.

        Args:
            code: takes the texts of kernels that were not described before.
        """
        arguments = arena.values(request.arguments)
        if self._candidate.request.destination_passing_style:
            arguments += [arena.tensor(ref) for ref in request.outputs]
        lay(arguments)
        deadline = time.monotonic() + BUDGET_S
        kernels: list[CompiledKernel] = []
        failures: dict[str, str] = {}
        launches: dict[str, CallLaunches] = {}
        refused: dict[tuple[str, str], list[str]] = {}
        stopped, launched = "", False
        for target, facts in request.targets.items():
            seen = _CompiledLaunches(self._candidate.source_dir, facts.shared_bytes_per_block)
            error = self._call(seen, facts, arguments, deadline)
            if isinstance(error, _NotCompiledError) and error.__cause__ is not None:
                failures[target] = not_compiled(
                    error.__cause__, error, self._candidate.source_dir, error.function
                )
            elif error is not None:
                stopped = _stopped(error, self._candidate.source_dir)
            launched |= bool(seen.kernels)
            kernels += self._described(seen, target, code)
            if error is not None:
                seen.log.leave_out(_stopped(error, self._candidate.source_dir))
            launches[target] = seen.log.message()
            for which in seen.refused.items():
                refused.setdefault(which, []).append(target)
        fault = None
        if not launched and not failures:
            why = f": {stopped}" if stopped else ""
            fault = CandidateFault(
                kind="out_of_order", message=cut(f"The call reached no Triton launch{why}", 2_000)
            )
        notes = _notes(refused, stopped if fault is None else "")
        return Compiled(
            kernels=kernels[:MOST_KERNELS],
            failures=failures,
            launches=launches,
            notes=notes[:MOST_NOTES],
            fault=fault,
        )

    def _call(
        self,
        seen: _CompiledLaunches,
        facts: DeviceFacts,
        arguments: Sequence[Any],
        deadline: float,
    ) -> BaseException | None:
        """Makes the call; returns what ended it early."""
        use_fake_driver(facts)
        answer_for_cuda(facts)
        try:
            with launches_compile_only(seen, deadline), OnTheCpu(seen.log.note), torch.no_grad():
                self._candidate.function(*arguments)
        except BaseException as error:
            return error
        return None

    def _described(
        self, seen: _CompiledLaunches, target: str, code: CodeTexts | None
    ) -> list[CompiledKernel]:
        """Reads resources and instructions of the cubins that were not described before."""
        new = {
            name: entry for name, entry in seen.kernels.items() if (target, name) not in self._known
        }
        self._known |= {(target, name) for name in new}
        place = self._folders.builds / f"cubin-{target}"
        place.mkdir(parents=True, exist_ok=True)
        files: list[Path] = []
        for index, (_, kernel) in enumerate(list(new.values())[:MOST_DUMPS]):
            file = place / f"{index}.cubin"
            file.write_bytes(kernel.asm["cubin"])
            files.append(file)
        if code is not None:
            code.add_triton({name: kernel for name, (_, kernel) in new.items()}, target, files)
        texts = dump(files)
        texts += [("", "")] * (len(new) - len(texts))
        return [
            _kernel_figures(function, kernel, target, dumped)
            for (function, kernel), dumped in zip(new.values(), texts, strict=True)
        ]


def _notes(refused: Mapping[tuple[str, str], Sequence[str]], stopped: str) -> list[str]:
    """What is not shown: configurations that do not compile, and what came after an early end."""
    notes = [
        cut(f"{which} does not compile for {' and '.join(targets)}: {why}.", 400)
        for (which, why), targets in refused.items()
    ]
    if stopped:
        notes.insert(0, f"The call ended early, kernels after it are not shown: {stopped}.")
    return notes


def _stopped(error: BaseException, source_dir: Path) -> str:
    """The exception that ended the call early, with the line of the candidate."""
    place, said = own_line(error, source_dir), fault_of(error, source_dir).message
    return cut(f"{said} ({place})" if place and place not in said else said, 600)


@contextlib.contextmanager
def launches_compile_only(seen: _CompiledLaunches, deadline: float) -> Iterator[None]:
    """Has every Triton launch compile its kernel, remember it and launch nothing."""
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.jit import JITFunction

    kept = (JITFunction.run, Autotuner.run, Autotuner._bench)
    launch, tune = kept[:2]

    def compile_one(self: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        require_reach(self, arguments, options)
        is_new = not warmup and seen.describe(self, arguments, options, grid)
        try:
            with without_devices():
                kernel = launch(self, *arguments, grid=grid, warmup=True, **options)
            refuse_too_much_shared(kernel, seen.shared_bytes)
        except Exception as error:
            raise _NotCompiledError(getattr(self, "__name__", "kernel")) from error
        if kernel is not None:
            seen.kernels[binary_name(kernel)] = (self, kernel)
            if is_new:
                seen.compiled(kernel)
        return kernel

    def compile_configuration(self: Any, *arguments: Any, config: Any, **meta: Any) -> list[float]:
        options = meta | config.all_kwargs()
        seen.try_next()
        if time.monotonic() > deadline and seen.kernels:
            return [float("inf")] * 3
        if config.pre_hook is not None:
            config.pre_hook({**self.nargs, **options})
        seen.trying = True
        try:
            self.fn.run(*arguments, **options)
        except _NotCompiledError as error:
            cause = error.__cause__ or error
            why = not_compiled(cause, cause, seen.source_dir, error.function)
            seen.refused[_named(config)] = why.partition("\n")[0]
            return [float("inf")] * 3
        finally:
            seen.trying = False
        return [1.0] * 3

    def tune_afresh(self: Any, *arguments: Any, **options: Any) -> Any:
        self.cache.clear()
        seen.begin_tuning()
        try:
            return tune(self, *arguments, **options)
        finally:
            seen.choice, seen.tried = None, 0

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


def _kernel_figures(
    function: Any, kernel: Any, target: str, dumped: tuple[str, str]
) -> CompiledKernel:
    """One compiled kernel with its resources and instructions, as dumped."""
    usage, sass = dumped
    resources = cubin.of_kernel(cubin.read_resources(usage), kernel.name, cubin.Resources())
    opcodes = cubin.of_kernel(cubin.read_opcodes(sass), kernel.name, {})
    metadata = kernel.metadata
    return CompiledKernel(
        name=kernel.name[:500],
        target=target,
        config=configuration(function, kernel),
        registers=resources.registers,
        shared_bytes=max(getattr(metadata, "shared", 0) or 0, resources.shared_bytes or 0),
        stack_bytes=resources.stack_bytes,
        spill_bytes=cubin.spilled_bytes(resources, opcodes),
        threads=getattr(metadata, "num_warps", 0) * 32 or None,
        opcodes=opcodes,
        binary=binary_name(kernel),
    )


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
