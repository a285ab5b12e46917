"""The suites by name: how the tasks of each are imported and what its score is.

A suite is an entry here and a module beside this one, whose docstring says what each part of the
suite becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import RequestError, unknown_name
from ..schema.evaluation import Evaluation
from . import (
    autokernel,
    contest,
    gpu_mode,
    kernelagent,
    kernelbench,
    robust_kbench,
    sol_execbench,
)
from .operator_folder import Imported
from .scores.fast_p import fast_p_score
from .scores.leaderboard import leaderboard, leaderboard_lines
from .scores.outcomes import EVERY, Counting
from .scores.score_table import score_lines
from .scores.sol_score import sol_lines, sol_score
from .scores.team_score import contest_lines, contest_score


class ScoreOf(Protocol):
    """What evaluations say of the operators in a folder."""

    def __call__(
        self, suite: str, folder: Path, records: Iterable[Evaluation], counting: Counting = EVERY
    ) -> Any:
        """Returns the score, whose `lines` are its suite's."""
        ...


@dataclass(frozen=True)
class Suite:
    """A suite of tasks by other people.

    Args:
        bring: imports a folder into a folder of operators.
        score: what evaluations say of such a folder.
        lines: that score as text.
        threshold: what its picture has on the horizontal axis.
        options: what else `bring` takes, by name.
    """

    name: str
    title: str
    bring: Callable[..., Imported]
    score: ScoreOf = fast_p_score
    lines: Callable[[Any, str], list[str]] = score_lines
    threshold: str = "p: times as fast as the baseline"
    options: frozenset[str] = frozenset({"candidates", "published_only"})

    def import_folder(self, folder: Path, out: Path, options: Mapping[str, Any]) -> Imported:
        """Writes the suite's tasks as operators.

        Args:
            options: those that were given; unset ones are left to the suite.

        Raises:
            RequestError: when one is given that the suite does not have.
        """
        given = {name: value for name, value in options.items() if value}
        if foreign := sorted(given.keys() - self.options):
            raise RequestError(
                f"{self.title} has no {', '.join(foreign)}",
                where=self.name,
                remedy=f"It takes: {', '.join(sorted(self.options))}.",
            )
        return self.bring(folder, out, **given)


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            kernelbench.SUITE,
            "KernelBench",
            kernelbench.import_kernelbench,
            options=frozenset({"levels", "candidates", "published_only", "reduce_by"}),
        ),
        Suite(
            sol_execbench.SUITE,
            "SOL-ExecBench",
            sol_execbench.import_sol_execbench,
            sol_score,
            sol_lines,
            "score S",
        ),
        Suite(
            gpu_mode.SUITE,
            "gpu-mode",
            gpu_mode.import_gpu_mode,
            leaderboard,
            leaderboard_lines,
            options=frozenset({"candidates"}),
        ),
        Suite(robust_kbench.SUITE, "robust-kbench", robust_kbench.import_robust_kbench),
        Suite(
            kernelagent.SUITE,
            "KernelAgent",
            kernelagent.import_kernelagent,
            options=frozenset({"candidates", "published_only", "reduce_by"}),
        ),
        Suite(autokernel.SUITE, "AutoKernel", autokernel.import_autokernel),
        Suite(
            contest.SUITE,
            "FlashInfer's contest",
            contest.import_contest,
            contest_score,
            contest_lines,
            "speed-up over the contest's baseline",
        ),
    )
}


def suite_named(name: str) -> Suite:
    """The suite of a name.

    Raises:
        RequestError: when there is none, naming the nearest.
    """
    if name not in SUITES:
        raise unknown_name("suite", name, SUITES)
    return SUITES[name]
