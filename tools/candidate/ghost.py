"""Ghost replay: a call with the candidate's own Triton kernels disabled.

If the outputs still verify, something else computed them: a library behind a decoy, or an answer
kept from an earlier call. Only launches through Triton can be disabled from outside; where none
passed here the replay says nothing, and says that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


class GhostCount:
    """How many launches were swallowed."""

    def __init__(self) -> None:
        self.launches = 0


@contextlib.contextmanager
def disabled_kernels() -> Iterator[GhostCount]:
    """Swallows every launch of a Triton function while the block runs."""
    from triton.runtime import autotuner, jit

    count = GhostCount()

    def swallow(*_args: Any, **_options: Any) -> None:
        count.launches += 1

    kept = (jit.JITFunction.run, autotuner.Autotuner.run)
    jit.JITFunction.run = swallow  # pyright: ignore[reportAttributeAccessIssue]
    autotuner.Autotuner.run = swallow  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield count
    finally:
        jit.JITFunction.run, autotuner.Autotuner.run = kept  # pyright: ignore[reportAttributeAccessIssue]
