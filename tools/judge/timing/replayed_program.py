"""What was seen of one program's replays on one workload, and what it proves."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...messages.runner import ReplayTimes
from ...schema.measurement import Measurement, Objective, TimeSource
from ..machine.clock_monitor import ClockWatch
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import Case
from ..replay.decision import ReplayEvidence, decide
from ..replay.output_checks import RightOutputs
from ..replay.program_runner import ProgramRunner
from ..replay.witness import SecondLook, Witness, contradicts
from .recorders import RecordedProgram
from .samples import Samples, kernel_times


@dataclass
class ReplayedProgram:
    """One program on one workload: its recording, its runners, and what was seen of its replays.

    Attributes:
        checked: replays whose outputs were compared.
        kept: what its kernels can keep from one replay to the next, in words.
        again: a timed call's inputs replayed again, where the witness asked for it.
    """

    recorded: RecordedProgram
    runners: list[ProgramRunner]
    right: RightOutputs
    samples: dict[Objective, Samples] = field(
        default_factory=lambda: {objective: Samples() for objective in Objective}
    )
    spans: list[int | None] = field(default_factory=list)
    events: list[int | None] = field(default_factory=list)
    checked: int = 0
    kept: str = ""
    witness: Witness | None = None
    again: SecondLook | None = None
    _chosen: tuple[InputSet, float] | None = None

    def note(self, input_set: InputSet, times: ReplayTimes, rng: random.Random) -> None:
        """Adds a cold replay's times; each has the same chance to be the one looked at again."""
        self.spans.append(times.span_ns)
        self.events.append(times.events_ns)
        if self._chosen is None or not rng.randrange(len(self.spans)):
            self._chosen = input_set, float(times.span_ns or 0)

    @property
    def chosen(self) -> tuple[InputSet, float]:
        """Inputs of a cold replay drawn by chance, and the span that was told of it."""
        assert self._chosen is not None
        return self._chosen

    @property
    def doubted(self) -> bool:
        """Whether the told spans have a mean that the witness does not allow."""
        spans = [span for span in self.spans if span is not None]
        return bool(spans and self.witness and contradicts(self.witness, sum(spans) / len(spans)))

    def not_sealed(self, runners_differ: str) -> str:
        """Why the replays prove nothing, in words; empty where they do."""
        found = decide(
            ReplayEvidence(
                outputs_checked=self.checked,
                spans_ns=tuple(self.spans),
                events_ns=tuple(self.events),
                witness=self.witness,
                again=self.again,
                runners_differ=runners_differ,
                memory_kept=self.kept,
            )
        )
        return "" if found.clock is TimeSource.SEALED else f"{found.reason}: {found.words}"

    def measurement(self, objective: Objective, watch: ClockWatch) -> Measurement:
        """The sealed times, those of `objective` ranked."""
        taken, ranked = self.samples, self.samples[objective]
        return Measurement(
            timer="cupti",
            cold_ns=taken[Objective.COLD].spans_ns,
            warm_ns=taken[Objective.WARM].spans_ns,
            host_ns=list(self.recorded.host_ns),
            called_ns=list(self.recorded.called_ns),
            clean_ns=taken[Objective.CLEAN].spans_ns,
            sustained_ns=taken[Objective.SUSTAINED].spans_ns,
            ranked_by=objective,
            block=ranked.block,
            set_aside=[i for i, at in enumerate(ranked.at_s) if watch.throttled(at)],
            kernels=kernel_times(taken[Objective.COLD].activities),
            clock=TimeSource.SEALED,
        )


@dataclass(frozen=True)
class ReplayedPair:
    """Candidate and baseline on one workload, and what their replays are given.

    Args:
        theirs: the baseline; None where a candidate is timed alone.
        draw: gives inputs that neither has seen.
        watch: of the device's clock.
    """

    case: Case
    ours: ReplayedProgram
    theirs: ReplayedProgram | None
    draw: Callable[[], InputSet]
    watch: ClockWatch

    @property
    def programs(self) -> Sequence[ReplayedProgram]:
        """The candidate, and the baseline where there is one."""
        return [self.ours] if self.theirs is None else [self.ours, self.theirs]
