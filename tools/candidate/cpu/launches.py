"""Describes launches of Triton kernels, alike where they compile and where they are interpreted.

What is interpreted without a GPU is believed to be what a device would run only where both
descriptions agree: kernel and code, grid, constants, types and values of the arguments, options.
Host code can read it and could forge it; that the judge compares two processes makes it harder.

An argument's address and alignment, and what a tensor holds, are not described.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

from ...messages.launches import MOST_LAUNCHES, CallLaunches, Launch
from . import device_signs
from .fake_memory import is_out_of_reach, with_devices, without_devices
from .host_work import HostWork

WORD_CHARACTERS = 120
REASON_CHARACTERS = 300
_PLAIN = (bool, int, float, str, bytes, type(None))


@dataclass
class LaunchLog:
    """The launches of one call, in order.

    Args:
        choice: which configuration of an autotuned kernel is interpreted, of those that are left
            after pruning; the first again after the last.
    """

    choice: int = 0
    launches: list[Launch] = field(default_factory=list)
    host_work: HostWork = field(default_factory=HostWork)
    """Of the candidate's host code since the last launch."""
    dropped_for: str = ""
    """Why not all of them are kept; empty where they are."""

    def add(self, launch: Launch) -> None:
        """Keeps a launch, unless there are too many."""
        if launch.place < MOST_LAUNCHES:
            self.launches.append(launch)
        else:
            self.leave_out(f"there are more than {MOST_LAUNCHES}")

    def add_described(self, describe: Callable[[], Launch]) -> None:
        """Keeps the launch that is described; where that fails, the reason why it is left out.

        Arguments are the candidate's, of any kind. What is wrong with a launch is said where it is
        launched.
        """
        try:
            self.add(describe())
        except Exception as error:
            self.leave_out(f"{type(error).__name__}: {error}")

    def leave_out(self, reason: str) -> None:
        """Notes why not all launches are kept."""
        self.dropped_for = reason[:REASON_CHARACTERS]

    def note(self, name: str, arguments: Sequence[Any]) -> None:
        """Adds an operation of host code."""
        self.host_work.note(name, arguments)

    def host_words(self) -> str:
        """What host code did since the last launch, which is then forgotten."""
        words, self.host_work = self.host_work.words(), HostWork()
        return words

    def message(self) -> CallLaunches:
        """The launches as a message."""
        return CallLaunches(
            launches=self.launches,
            dropped_for=self.dropped_for,
            after=self.host_work.words(),
            signs=device_signs.noted(),
        )


def require_reach(function: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Checks that a device could read the tensors that a kernel is launched on.

    Raises:
        ValueError: as Triton does, when one lies in the host's memory.
    """
    for name, value in [*enumerate(arguments), *options.items()]:
        if is_out_of_reach(getattr(value, "base", value)):
            kernel = getattr(function.fn, "__name__", "kernel")
            raise ValueError(
                f"Pointer argument {name} of {kernel} cannot be accessed from Triton (cpu tensor?)"
                ": a tensor that is made without device= lies in the host's memory"
            )


def describe_launch(
    function: Any,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    grid: Sequence[int],
    *,
    place: int,
    choice: int | None = None,
) -> Launch:
    """Describes one launch.

    Args:
        function: Triton's own object for the kernel, compiled or interpreted.
        arguments: positional ones.
        options: named arguments of the kernel, and options of the launch.
        grid: programs along up to three axes.
        place: number of the launch within its call.
        choice: which configuration of an autotuner it is; None where there was none to choose.
    """
    plain = function.fn
    names, constant = _parameters(plain)
    own = {name: value for name, value in options.items() if name in names}
    bound: dict[str, Any] = own
    with contextlib.suppress(TypeError):
        binding = inspect.signature(plain).bind(*arguments, **own)
        binding.apply_defaults()
        bound = dict(binding.arguments)
    said = {name: _value_words(value) for name, value in bound.items()}
    return Launch(
        kernel=str(getattr(plain, "__name__", "kernel"))[:200],
        code=code_digest(plain),
        place=place,
        choice=choice,
        grid=[*map(int, grid), 1, 1, 1][:3],
        constants={name: words for name, words in said.items() if name in constant},
        arguments={name: words for name, words in said.items() if name not in constant},
        options={
            str(name)[:WORD_CHARACTERS]: _value_words(value)
            for name, value in options.items()
            if name not in names and value is not None
        },
    )


def evaluated_grid(
    function: Any, arguments: Sequence[Any], options: Mapping[str, Any], grid: Any
) -> Any:
    """The grid of a launch, computed from its arguments where it is a function of them."""
    if not callable(grid):
        return grid
    names, _ = _parameters(function.fn)
    own = {name: value for name, value in options.items() if name in names}
    binding = inspect.signature(function.fn).bind(*arguments, **own)
    binding.apply_defaults()
    return grid(dict(binding.arguments))


def _parameters(plain: Any) -> tuple[set[str], set[str]]:
    """The names of a kernel's parameters, and of those that are compile-time constants."""
    parameters = inspect.signature(plain).parameters
    constant = {
        name for name, one in parameters.items() if "constexpr" in _annotation(one.annotation)
    }
    return set(parameters), constant


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")


def _value_words(value: Any) -> str:
    """The type of a tensor, the value of a number, and what else a launch can be given."""
    value = getattr(value, "value", value) if type(value).__name__ == "constexpr" else value
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__} {value!r}"[:WORD_CHARACTERS]
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_value_words, value))})"[:WORD_CHARACTERS]
    if type(value).__name__ == "TensorDescriptor":
        return f"descriptor of {_value_words(value.base)}, {list(value.block_shape)}"
    if hasattr(value, "data_ptr") and hasattr(value, "dtype"):
        return f"*{value.dtype}".replace("torch.", "")
    plain = getattr(value, "fn", None)
    if isinstance(plain, FunctionType):
        return f"function {plain.__name__} {code_digest(plain)}"
    return str(value)[:WORD_CHARACTERS] if " at 0x" not in str(value) else type(value).__name__


def code_digest(plain: Any) -> str:
    """A digest of a function's code, of what it calls outside Triton, and of constants it names."""
    digest = hashlib.sha256()
    _add_function(digest, plain, set())
    return digest.hexdigest()[:16]


def _add_function(digest: Any, plain: Any, seen: set[int]) -> None:
    if not isinstance(plain, FunctionType) or id(plain) in seen:
        return
    seen.add(id(plain))
    if (plain.__module__ or "").split(".")[0] == "triton":
        digest.update(f"{plain.__module__}.{plain.__qualname__}".encode())
        return
    names = _add_code(digest, plain.__code__)
    known = {name: plain.__globals__.get(name) for name in sorted(names)}
    for name, cell in zip(plain.__code__.co_freevars, plain.__closure__ or (), strict=False):
        with contextlib.suppress(ValueError):
            known[name] = cell.cell_contents
    for name, value in known.items():
        value = getattr(value, "value", value) if type(value).__name__ == "constexpr" else value
        called = value if isinstance(value, FunctionType) else getattr(value, "fn", None)
        if isinstance(called, FunctionType):
            digest.update(name.encode())
            _add_function(digest, called, seen)
        elif isinstance(value, (*_PLAIN, tuple)) and value is not None:
            digest.update(f"{name}={value!r}".encode())


def _add_code(digest: Any, code: CodeType) -> set[str]:
    """Adds a code object and those within it; returns the names that they look up."""
    digest.update(code.co_code)
    digest.update(repr((code.co_names, code.co_varnames)).encode())
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _add_code(digest, constant)
        else:
            digest.update(repr(constant).encode())
    return names


@contextlib.contextmanager
def interpreted_launches(choice: int = 0) -> Iterator[LaunchLog]:
    """Describes each launch that Triton interprets within the context, and picks configurations.

    Nothing is described in a process where Triton compiles, or is not installed.
    """
    log = LaunchLog(choice)
    try:
        from triton.runtime import autotuner, interpreter
    except ImportError:
        yield log
        return
    interpreted, tuned = interpreter.InterpretedFunction, autotuner.Autotuner
    run, tune, prune = interpreted.run, tuned.run, tuned.prune_configs
    chosen: list[int] = []

    def run_described(self: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        if not warmup:
            which = chosen.pop() if chosen else None
            require_reach(self, arguments, options)
            grid = _described_grid(log, self, arguments, options, grid, which)
        with without_devices():
            return run(self, *arguments, grid=grid, warmup=warmup, **options)

    def prune_to_one(self: Any, *arguments: Any, **options: Any) -> Any:
        left = list(prune(self, *arguments, **options))
        at = log.choice % len(left) if left else 0
        chosen.append(at)
        return left[at : at + 1]

    def tune_afresh(self: Any, *arguments: Any, **options: Any) -> Any:
        self.cache.clear()
        chosen[:] = [0] if len(self.configs) == 1 else []
        return tune(self, *arguments, **options)

    interpreted.run, tuned.prune_configs, tuned.run = run_described, prune_to_one, tune_afresh
    try:
        yield log
    finally:
        interpreted.run, tuned.prune_configs, tuned.run = run, prune, tune


def _described_grid(
    log: LaunchLog,
    function: Any,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    grid: Any,
    choice: int | None,
) -> Any:
    """The grid, or a function that computes it; when it is known, the launch is described."""
    place = len(log.launches)

    def described(programs: Any) -> Any:
        log.add_described(
            lambda: describe_launch(
                function, arguments, options, programs, place=place, choice=choice
            ).model_copy(update={"before": log.host_words()})
        )
        return programs

    def computed(meta: Any) -> Any:
        with with_devices():
            programs = grid(meta)
        return described(programs)

    return computed if callable(grid) else described(grid)
