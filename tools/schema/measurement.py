"""Timed calls, their comparison and their sums, as a record holds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from pydantic import Field, model_validator

from .record_model import FiniteFloat, RecordModel


class Decision(StrEnum):
    """What a paired comparison allows one to say."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    EQUAL = "EQUAL"
    INCONCLUSIVE = "INCONCLUSIVE"


class KernelTime(RecordModel):
    """Device time of one kernel name in the timed calls, and whose it is."""

    name: str
    launches: int
    share: float
    microseconds: float
    origin: str = Field(description="'candidate', 'torch', a library's name, 'copy' or 'unknown'.")


class Objective(StrEnum):
    """Which times of a call its latency is, and candidates rank by."""

    COLD = "cold"
    """Its span with a cold L2, emptied by writing: lines are written back during the call."""
    CLEAN = "clean"
    """Its span with a cold L2 that holds no line still to be written back."""
    SUSTAINED = "sustained"
    """Its share of many calls back to back over copies of its tensors larger than the L2."""
    WARM = "warm"
    """Its span with its inputs in the L2."""


class TimeSource(StrEnum):
    """Whether a candidate's own process could have changed its times."""

    SEALED = "sealed"
    """Replayed and timed where no host code of the candidate runs, with every output right."""
    CLAIMED = "claimed"
    """Told by the candidate's own process."""


UNSEALABLE = "it was timed before times could be sealed"
"""The reason of records that give none."""
BY_HOST = "it is ranked by host time, which the candidate's own process told"
NO_SAMPLES = "the record holds a latency without the samples it was taken from"


@dataclass(frozen=True)
class Sealing:
    """Whether times are sealed; `reason` says why they are only claimed, and is empty if not."""

    source: TimeSource
    reason: str = ""

    @property
    def words(self) -> str:
        """`sealed`, or `claimed: ` and the reason."""
        return f"{self.source}: {self.reason}" if self.reason else str(self.source)


def joint_sealing(parts: Iterable[Sealing | None]) -> Sealing | None:
    """Sealed when every part that was timed is, else the first that is only claimed.

    None when no part was timed.
    """
    known = [part for part in parts if part is not None]
    claimed = (part for part in known if part.source is TimeSource.CLAIMED)
    return next(claimed, known[0] if known else None)


class Measurement(RecordModel):
    """Timed calls of one solution on one workload; raw samples in nanoseconds, in call order."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = (
        "clock",
        "clock_reason",
        "called_ns",
        "clean_ns",
        "sustained_ns",
        "ranked_by",
    )

    timer: str = Field(description="'cupti', 'cuda_graph', 'cuda_events'.")
    by_host: bool = Field(default=False, description="Ranked by host_ns, which shows hidden work.")
    cold_ns: list[int] = Field(description="Device span with a cold L2.")
    warm_ns: list[int] = Field(default_factory=list)
    host_ns: list[int] = Field(default_factory=list, description="Call to visible result, host.")
    called_ns: list[int] = Field(
        default_factory=list,
        description="Device spans of ordinary calls, told by the candidate's process: gaps between "
        "launches are in them. Beside sealed times only.",
    )
    clean_ns: list[int] = Field(
        default_factory=list,
        description="Device span with a cold L2 that holds no line still to be written back.",
    )
    sustained_ns: list[int] = Field(
        default_factory=list,
        description="Time for each of many calls back to back, over copies of their tensors that "
        "are together larger than the L2; one sample for each pass over all copies.",
    )
    ranked_by: Objective = Field(
        default=Objective.COLD, description="Which of these samples the latency is taken from."
    )
    block: list[int] = Field(
        default_factory=list, description="Process block of each sample that ranks."
    )
    set_aside: list[int] = Field(
        default_factory=list, description="Indices of samples that rank, taken under throttle."
    )
    kernels: list[KernelTime] = Field(default_factory=list)
    clock: TimeSource = Field(
        default=TimeSource.CLAIMED,
        description="'sealed': timed where no host code of the candidate runs; else 'claimed'.",
    )
    clock_reason: str | None = Field(default=None, description="Why the times are only claimed.")

    @model_validator(mode="after")
    def _sealed_without_a_reason(self) -> Measurement:
        if self.clock is TimeSource.SEALED and self.clock_reason is not None:
            raise ValueError("sealed times have no reason to be only claimed")
        return self

    @property
    def sealing(self) -> Sealing:
        """Whether these times are sealed."""
        if self.clock is TimeSource.CLAIMED:
            return Sealing(TimeSource.CLAIMED, self.clock_reason or UNSEALABLE)
        if self.by_host:
            return Sealing(TimeSource.CLAIMED, BY_HOST)
        return Sealing(TimeSource.SEALED)

    @property
    def own_kernels_us(self) -> float | None:
        """What kernels that are neither PyTorch's nor copies take of a call; None if unknown.

        Of a library that is called with preparations around it, it is what the library's kernels
        take; the product of a library that PyTorch itself calls, as cuBLAS, is among them.
        """
        if not self.kernels or not self.cold_ns:
            return None
        own = (k.microseconds for k in self.kernels if k.origin not in ("torch", "copy"))
        return sum(own) / len(self.cold_ns)

    @property
    def ranked_ns(self) -> list[int]:
        """The samples that latency and ratio are taken from."""
        return self.host_ns if self.by_host else self.samples(self.ranked_by)

    def samples(self, objective: Objective) -> list[int]:
        """The samples of one kind."""
        return {
            Objective.COLD: self.cold_ns,
            Objective.CLEAN: self.clean_ns,
            Objective.SUSTAINED: self.sustained_ns,
            Objective.WARM: self.warm_ns,
        }[objective]


class Comparison(RecordModel):
    """A paired ratio baseline / candidate on one workload (above 1: the candidate is faster)."""

    ratio: FiniteFloat
    interval: tuple[float, float]
    confidence: float
    pairs: int
    wins: int
    sign_p: FiniteFloat
    threshold: float = Field(description="Ratio away from 1 that the noise floor demands.")
    decision: Decision


class Totals(RecordModel):
    """Summaries over the workloads that were timed; recomputed from the samples."""

    passed: int = 0
    failed: int = 0
    not_run: int = 0
    objective: str = Field(
        default="mean_latency_us",
        description="The times whose mean ranks; 'mean_latency_us' is the mean of cold spans.",
    )
    mean_latency_us: FiniteFloat = None
    estimated_full_mean_us: FiniteFloat = Field(
        default=None, description="Weighted sum of the sample, an estimate of all workloads' mean."
    )
    baseline_mean_latency_us: FiniteFloat = None
    mean_of_ratios: FiniteFloat = None
    ratio_of_means: FiniteFloat = None
    geometric_mean_ratio: FiniteFloat = None
    ratio_interval: tuple[float, float] | None = Field(
        default=None, description="95 % bootstrap interval of the geometric mean ratio."
    )
    wins: int = 0
    ties: int = 0
    losses: int = 0
    inconclusive: int = 0


class ClockSample(RecordModel):
    """What NVML said at one moment."""

    at_s: float
    sm_mhz: int | None = None
    memory_mhz: int | None = None
    power_w: float | None = None
    temperature_c: int | None = None
    throttle: list[str] = Field(default_factory=list)
