"""The least time a device needs for a piece of work, and how near a kernel came to it.

Three floors, from the surest to the most useful:

* nominal: the larger of compulsory bytes over the data-sheet bandwidth and operations over the
  data-sheet rates. Nothing honest beats it by more than a few per cent.
* calibrated: the same with rates that were measured or derived, kept apart with their provenance.
* latency-aware: launch, dependent kernels and serial steps added, for most small kernels are bound
  by none of the rates. An estimate: a better algorithm may beat it.

Method: the roofline model (Williams, Waterman and Patterson, 2009) on bytes that must move once.
It does not know caches that stay warm between calls, nor clocks below the nominal ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import DatasetError
from .hardware import Calibration, Hardware, Rate


@dataclass(frozen=True)
class Cost:
    """The work that every correct kernel must do on one workload.

    Args:
        bytes_read: bytes that must be read from device memory, each counted once.
        l2_bytes: bytes through L2, with re-reads that no kernel can avoid; 0 when not counted.
        flops: operations by precision, the lowest one the definition permits: 'fp32', 'tf32',
            'bf16', 'fp16', 'fp8', 'int8', 'fp4', 'fp64'.
        serial_steps: steps that must follow each other, e.g. chunks of the longest sequence.
        dependent_kernels: launches that must follow each other in the best known design.
        upper_bound: whether bytes are over-counted, so that the floors are none.
        expected: whether counts are means over random contents, so that the floors are those of an
            average call and single inputs may need less.
        step_us: time of one serial step; None means one dependent load from device memory.
    """

    bytes_read: float = 0.0
    bytes_written: float = 0.0
    l2_bytes: float = 0.0
    flops: Mapping[str, float] = field(default_factory=dict)
    serial_steps: float = 0.0
    dependent_kernels: int = 1
    data_dependent: bool = False
    upper_bound: bool = False
    expected: bool = False
    assumptions: tuple[str, ...] = ()
    step_us: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "assumptions", tuple(self.assumptions))
        counts = [self.bytes_read, self.bytes_written, self.l2_bytes, self.serial_steps]
        counts += [self.dependent_kernels, 0.0 if self.step_us is None else self.step_us]
        if not all(math.isfinite(n) and n >= 0 for n in (*counts, *self.flops.values())):
            raise ValueError("counts of a cost must be finite and not negative")
        if self.dependent_kernels < 1:
            raise ValueError("a cost has at least one kernel")

    @property
    def bytes_moved(self) -> float:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def work(self) -> float:
        """A number that grows with the work: bytes, plus operations at one a byte."""
        return self.bytes_moved + sum(self.flops.values())

    @property
    def may_exceed(self) -> bool:
        """Whether a correct kernel may do with less: then no time is impossible by this count."""
        return self.upper_bound or self.expected


def mean_cost(costs: Sequence[Cost]) -> Cost:
    """The mean work of several inputs of one workload; one input may need less or more."""
    first, many = costs[0], len(costs)
    return replace(
        first,
        bytes_read=sum(cost.bytes_read for cost in costs) / many,
        bytes_written=sum(cost.bytes_written for cost in costs) / many,
        l2_bytes=sum(cost.l2_bytes for cost in costs) / many,
        flops={
            name: sum(cost.flops.get(name, 0.0) for cost in costs) / many for name in first.flops
        },
        expected=True,
        assumptions=(*first.assumptions, f"the mean of {many} draws of inputs"),
    )


def scaled_cost(cost: Cost, factor: float) -> Cost:
    """The same kind of work, more or less of it; serial steps stay."""
    return replace(
        cost,
        bytes_read=cost.bytes_read * factor,
        bytes_written=cost.bytes_written * factor,
        l2_bytes=cost.l2_bytes * factor,
        flops={name: count * factor for name, count in cost.flops.items()},
    )


@dataclass(frozen=True)
class Floors:
    """Least times in microseconds, and what sets the nominal one.

    Args:
        calibrated_us: from calibrated rates; None when the device has none.
        latency_us: with launch and serial steps; None when the device's launch time is not known.
        limiter: 'memory', 'tensor', 'fp32', 'fp64', or 'none' for no work.
        upper_bound: whether the cost over-counts, so that these are no floors.
    """

    nominal_us: float
    calibrated_us: float | None
    latency_us: float | None
    limiter: str
    upper_bound: bool


def floors(cost: Cost, hardware: Hardware) -> Floors:
    """Computes a device's floors for a piece of work.

    A precision the device has no rate for counts at the rate of the next wider one that it has.
    """
    terms = _terms(cost, hardware.memory_bytes_per_s, hardware.flops)
    limiter = max(terms, key=lambda name: terms[name])
    nominal = terms[limiter]
    seen = hardware.calibrated
    calibrated = None
    if seen.memory_bytes_per_s is not None:
        rates = {**hardware.flops, **seen.flops}
        calibrated = max(_terms(cost, seen.memory_bytes_per_s, rates).values())
    return Floors(
        nominal_us=nominal,
        calibrated_us=calibrated,
        latency_us=_latency_floor(cost, seen, calibrated if calibrated is not None else nominal),
        limiter=limiter if nominal > 0 else "none",
        upper_bound=cost.upper_bound,
    )


def _latency_floor(cost: Cost, seen: Calibration, work_us: float) -> float | None:
    if seen.launch_us is None:
        return None
    step = cost.step_us
    if step is None:
        step = seen.memory_latency_us.value if seen.memory_latency_us else 0.0
    further = seen.dependent_kernel_us.value if seen.dependent_kernel_us else 0.0
    launches = seen.launch_us.value + (cost.dependent_kernels - 1) * further
    # The shortest kernel ever seen has loaded something: its span holds the first step already.
    return launches + max(work_us, max(0.0, cost.serial_steps - 1.0) * step)


_WIDER = {
    "fp4": ("fp8", "fp16", "tf32", "fp32"),
    "fp8": ("fp16", "tf32", "fp32"),
    "int8": ("fp16", "tf32", "fp32"),
    "bf16": ("fp16", "tf32", "fp32"),
    "fp16": ("bf16", "tf32", "fp32"),
    "tf32": ("fp32",),
}
_OUTSIDE_TENSOR_CORES = frozenset({"fp32", "fp64"})


def _terms(cost: Cost, bandwidth: Rate, rates: Mapping[str, Rate]) -> dict[str, float]:
    """Microseconds by resource; resources work side by side, precisions of one in turn."""
    terms = {"memory": cost.bytes_moved / bandwidth.value * 1e6}
    for precision, count in cost.flops.items():
        unit = precision if precision in _OUTSIDE_TENSOR_CORES else "tensor"
        terms[unit] = terms.get(unit, 0.0) + count / _rate(precision, rates) * 1e6
    return terms


def _rate(precision: str, rates: Mapping[str, Rate]) -> float:
    for candidate in (precision, *_WIDER.get(precision, ())):
        if candidate in rates:
            return rates[candidate].value
    raise DatasetError(
        f"No rate is known for precision {precision!r}",
        where="cost.py",
        remedy=f"Count in one of: {', '.join(sorted({*_WIDER, *_OUTSIDE_TENSOR_CORES}))}.",
    )


def sol_percent(floor_us: float | None, latency_us: float | None) -> float | None:
    """Floor over latency in percent; None where either is unknown or there is no work."""
    if floor_us is None or latency_us is None or floor_us <= 0 or latency_us <= 0:
        return None
    return 100.0 * floor_us / latency_us


@dataclass(frozen=True)
class SolExecBenchScore:
    """SOL-ExecBench's number for one workload, or why there is none."""

    value: float | None
    reason: str = ""


def sol_exec_bench_score_guarded(
    latency_us: float, baseline_us: float, floor_us: float
) -> SolExecBenchScore:
    """SOL-ExecBench's S = 1 / (1 + (T_k - T_sol) / (T_b - T_sol)), refused where it has no meaning.

    The published formula passes 1, divides by zero and turns negative when a time lies below the
    floor; such a time says that the clock or the floor is wrong, and is invalid before any number.
    0.5 is parity with the baseline, 1 the floor.

    Args:
        latency_us: the candidate's time T_k.
        baseline_us: the baseline's time T_b.
        floor_us: the least time T_sol.
    """
    times = (latency_us, baseline_us, floor_us)
    if not all(math.isfinite(t) and t > 0 for t in times):
        return SolExecBenchScore(None, "every time must be finite and positive")
    if latency_us < floor_us:
        return SolExecBenchScore(None, "the latency is below the floor: clock or floor is wrong")
    if baseline_us <= floor_us:
        return SolExecBenchScore(None, "the baseline is not above the floor: nothing left to gain")
    return SolExecBenchScore(1.0 / (1.0 + (latency_us - floor_us) / (baseline_us - floor_us)))


# --- devices ----------------------------------------------------------------------------------
