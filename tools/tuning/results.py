"""What became of the variants of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ..archive.search.record_holders import VirtualBest
from ..schema.evaluation import UNDECIDED, UNFAILED, Evaluation, Scope, StaticCheck
from ..workloads.regimes import Regime
from .race.finals import Lead
from .race.halving import RaceTime
from .variants import Variant


class VariantState(StrEnum):
    """How far a variant came."""

    FASTEST = "fastest"
    """In one regime or more; it was judged."""
    TIED = "tied"
    """With the fastest of a regime: nothing says that one of the two is faster. Not judged."""
    SLOWER = "slower"
    PASSED = "passed"
    """Judged in the interpreter, without a time."""
    COMPILED = "compiled"
    """Built for targets and not run."""
    PRUNED = "pruned"
    FAILED = "failed"
    UNDECIDED = "undecided"
    """Nothing was found out: the machine lacks something, nothing can be compiled before it runs,
    or the harness failed."""


@dataclass
class VariantResult:
    """What became of one variant.

    Attributes:
        words: why it was left out or failed, or where it is the fastest.
        times: by regime, that of its fastest run; of finalists, of their calls in turn.
        evaluations: ids of its records, the last first.
        judged: the record of a winner.
    """

    variant: Variant
    state: VariantState = VariantState.UNDECIDED
    words: str = ""
    static: StaticCheck | None = None
    times: dict[str, RaceTime] = field(default_factory=dict)
    evaluations: list[str] = field(default_factory=list)
    judged: Evaluation | None = None

    def take(self, evaluation: Evaluation) -> None:
        """Notes a record, and how far it shows that the variant came: one failure is enough."""
        self.evaluations.insert(0, evaluation.evaluation_id)
        if evaluation.static is not None and evaluation.static.kernels:
            self.static = evaluation.static
        if self.state is VariantState.FAILED:
            return  # where two are under way at once, the one that it passes may end last
        failure = evaluation.failure
        if evaluation.status in UNFAILED:
            if evaluation.scope is not Scope.STATIC:
                self.state, self.words = VariantState.PASSED, evaluation.partial_reason or ""
                return
            self.words = _uncompiled(evaluation) or ""
            self.state = VariantState.UNDECIDED if self.words else VariantState.COMPILED
            return
        undecided = evaluation.status in UNDECIDED
        self.state = VariantState.UNDECIDED if undecided else VariantState.FAILED
        said = failure.message if failure else ""
        self.words = f"{evaluation.status}: {said}"


def _uncompiled(evaluation: Evaluation) -> str | None:
    """Why no kernel was compiled, where that was no failure."""
    check = evaluation.static
    return check.reason if check is not None and not check.kernels else None


@dataclass(frozen=True)
class Dispatch:
    """Winners together, as a program that chooses between them by size.

    Attributes:
        found: who is the fastest at which size; None where fewer than two were judged.
        words: why no program can be written that chooses.
    """

    found: VirtualBest | None = None
    words: str = ""


@dataclass(frozen=True)
class Tuned:
    """What became of all variants.

    Attributes:
        winners: by regime, the name of the fastest.
        leads: by regime, of the winner over those that came near it.
        runs: evaluations that ran a variant in the race.
        notes: what was not looked at, and why.
    """

    definition: str
    results: Sequence[VariantResult]
    regimes: Sequence[Regime] = ()
    winners: Mapping[str, str] = field(default_factory=dict)
    leads: Mapping[str, Sequence[Lead]] = field(default_factory=dict)
    dispatch: Dispatch = Dispatch()
    runs: int = 0
    notes: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
