"""Disables the candidate's own Triton kernels for a call.

If the outputs still verify, something else computed them: a library behind a decoy, or an answer
kept from an earlier call. Only launches through Triton can be disabled from outside; where none
passed here the replay says nothing, and says that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..faults import CandidateError


class DisabledLaunches:
    """Counts the launches that were skipped."""

    def __init__(self) -> None:
        self.launches = 0


@contextlib.contextmanager
def disabled_kernels() -> Iterator[DisabledLaunches]:
    """Skips every launch of a Triton function within the context."""
    from triton.runtime import autotuner, interpreter, jit

    count = DisabledLaunches()

    def swallow(*_args: Any, **_options: Any) -> None:
        count.launches += 1

    launchers: tuple[Any, ...] = (
        jit.JITFunction,
        autotuner.Autotuner,
        interpreter.InterpretedFunction,
    )
    kept = [launcher.run for launcher in launchers]
    for launcher in launchers:
        launcher.run = swallow
    try:
        yield count
    finally:
        for launcher, run in zip(launchers, kept, strict=True):
            launcher.run = run


def require_launches(count: DisabledLaunches) -> None:
    """Raises CandidateError ('kernels_not_disabled') when no launch was disabled."""
    if not count.launches:
        raise CandidateError(
            "kernels_not_disabled", "No Triton kernel was launched, so none could be disabled"
        )
