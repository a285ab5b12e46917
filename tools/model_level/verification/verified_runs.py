"""What the runs of a program said, with kernels and without, as it crosses to our process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class KernelTarget:
    """What a deployed kernel stands for in a program.

    Args:
        target: "package.module.function" or "package.module.Class.method".
        definition: which kernel of the folder; None where there is one.
        inputs: of each input of the operator what it is in a call: a parameter's name, with
            attributes after dots; None where parameters have the inputs' names.
        constants: what else of a call, named alike, has which value; others are not the operator's.
        copied: inputs that a program gives in another layout, which the kernel gets as a copy.
        returns: of a function that returns None beside tensors, which output each part is.
        adapted: whether an adapter of `collect` makes inputs and constants of a call.
    """

    target: str
    definition: str | None = None
    inputs: dict[str, str] | None = None
    constants: dict[str, Any] = field(default_factory=dict[str, Any])
    copied: tuple[str, ...] = ()
    returns: tuple[int | None, ...] | None = None
    adapted: bool = False


@dataclass(frozen=True)
class VerifyRequest:
    """What a program is run for.

    Args:
        kernels: folder that `kernel-harness deploy` wrote.
        step: a function whose calls are steps; None for the outermost module's.
        warmup: steps of each run that are left alone.
        steps: that are timed, of each run.
        pairs: of runs, one without the kernels and one with them.
    """

    program: tuple[str, ...]
    kernels: str
    targets: tuple[KernelTarget, ...]
    step: str | None
    warmup: int
    steps: int
    pairs: int


@dataclass(frozen=True)
class TimedRun:
    """Steps of one run, in nanoseconds.

    Args:
        step_ns: from begin to the end of the device's work.
        host_ns: until the step's call came back.
        status: the program's exit status.
    """

    step_ns: tuple[int, ...]
    host_ns: tuple[int, ...]
    status: int


@dataclass(frozen=True)
class OutputDrift:
    """How far the outputs of some steps are from those of another run.

    Args:
        relative: largest of |a - b| / |a| over outputs, by their norms; None where an output has
            another shape, or is not finite where the other is.
        largest: difference of one element.
        argmax_agreement: least share of rows whose largest element is the same one; None where no
            output has rows.
        dtype: narrowest floating type among the outputs.
        outputs: how many were compared.
    """

    relative: float | None
    largest: float
    argmax_agreement: float | None
    dtype: str
    outputs: int


Span = tuple[float, float]
"""Microseconds of a call: of the host and of the device."""


@dataclass(frozen=True)
class CallSpans:
    """What a call takes with the original and with the kernel, each as often as it was timed.

    Args:
        original: None where a step had no such call.
        kernel: at the same place of those steps or rounds that followed one another.
    """

    original: tuple[Span | None, ...] = ()
    kernel: tuple[Span | None, ...] = ()


@dataclass(frozen=True)
class TimedCall:
    """Calls of a function with equal shapes, as the program made them.

    Args:
        calls: a step.
        repeated: a call by itself, in each round.
        drift: of the kernel's output from the original's.
        placed: the mean of a step's calls in their places in the program, at each turn.
    """

    shapes: str
    calls: float
    repeated: CallSpans
    drift: OutputDrift
    placed: CallSpans = CallSpans()


@dataclass(frozen=True)
class TimedTurn:
    """Three steps in which placed calls had the kernels, then the originals, then no clocks.

    Args:
        place: of the third, among all steps that were timed.
        plain_ns: its time.
        rest_us: of the second, besides the calls of all targets.
    """

    place: int
    plain_ns: int
    rest_us: float


@dataclass(frozen=True)
class AppliedTarget:
    """What became of one kernel in the program.

    Args:
        missed: calls that went to the original, by reason.
        calls: those of the function; empty where none was made.
        compiled: how many the kernel had within code that torch compiled, of which none is timed.
    """

    target: str
    definition: str
    missed: dict[str, int]
    calls: tuple[TimedCall, ...]
    compiled: int = 0


@dataclass(frozen=True)
class VerifiedRuns:
    """All that the runs said.

    Args:
        before: without the kernels.
        after: with them, each beside the one of `before` at its place.
        drift: of outputs with the kernels from those without.
        repeated: of outputs of two runs without the kernels; None where there is one.
        turns: of the run in which calls were timed.
    """

    device: str | None
    before: tuple[TimedRun, ...]
    after: tuple[TimedRun, ...]
    drift: OutputDrift
    repeated: OutputDrift | None
    targets: tuple[AppliedTarget, ...]
    turns: tuple[TimedTurn, ...] = ()
