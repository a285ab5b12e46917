"""The suites by name: how the tasks of each are imported and what its score is.

A suite is an entry here and a module beside this one, whose docstring says what each part of the
suite becomes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import unknown_name
from .kernelbench import SUITE, Imported, import_kernelbench
from .scores.fast_p import FastPScore, fast_p_score


@dataclass(frozen=True)
class Suite:
    """A suite of tasks by other people."""

    name: str
    title: str
    bring: Callable[..., Imported]
    score: Callable[..., FastPScore]


SUITES = {SUITE: Suite(SUITE, "KernelBench", import_kernelbench, fast_p_score)}


def suite_named(name: str) -> Suite:
    """The suite of a name.

    Raises:
        RequestError: when there is none, naming the nearest.
    """
    if name not in SUITES:
        raise unknown_name("suite", name, SUITES)
    return SUITES[name]
