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

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DatasetError, unknown_name

IMPOSSIBLE_BELOW = 0.90
"""A latency under this share of the nominal floor means that the timing or the count is wrong."""


@dataclass(frozen=True)
class Cost:
    """The work that every correct kernel must do on one workload.

    Args:
        bytes_read: bytes that must be read from device memory, each counted once.
        bytes_written: bytes that must be written.
        l2_bytes: bytes through L2, with re-reads that no kernel can avoid; 0 when not counted.
        flops: operations by precision, the lowest one the definition permits: 'fp32', 'tf32',
            'bf16', 'fp16', 'fp8', 'int8', 'fp4', 'fp64'.
        serial_steps: steps that must follow each other, e.g. chunks of the longest sequence.
        dependent_kernels: launches that must follow each other in the best known design.
        data_dependent: whether the counts follow the contents of inputs.
        upper_bound: whether bytes are over-counted, so that the floors are none.
        expected: whether counts are means over random contents, so that the floors are those of an
            average call and single inputs may need less.
        assumptions: what was assumed, as sentences.
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
        if not all(math.isfinite(n) and n >= 0 for n in (*counts, *self.flops.values())):
            raise ValueError("counts of a cost must be finite and not negative")
        if self.dependent_kernels < 1:
            raise ValueError("a cost has at least one kernel")

    @property
    def bytes_moved(self) -> float:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def may_exceed(self) -> bool:
        """Whether a correct kernel may do with less: then no time is impossible by this count."""
        return self.upper_bound or self.expected


def mean_cost(costs: Sequence[Cost]) -> Cost:
    """The mean work of several inputs of one workload; one input may need less or more.

    Args:
        costs: at least one, of equal form.
    """
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


class Rate(BaseModel):
    """One figure of a device and where it is from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(gt=0)
    source: str = Field(min_length=1)


class Calibration(BaseModel):
    """Figures that were measured, fitted or estimated; never mixed with the data sheet's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_bytes_per_s: Rate | None = None
    flops: dict[str, Rate] = Field(default_factory=dict)
    launch_us: Rate | None = Field(
        default=None, description="Shortest span of a kernel that does anything."
    )
    dependent_kernel_us: Rate | None = Field(default=None, description="Each further launch.")
    memory_latency_us: Rate | None = Field(default=None, description="One dependent load.")


class Identity(BaseModel):
    """How a device is recognised: all of it must fit, never a part of a name alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: list[str] = Field(min_length=1, description="As NVML says, without 'NVIDIA '.")
    sm_count: int = Field(gt=0)
    memory_mhz: tuple[int, int] = Field(description="Lowest and highest maximum memory clock.")


class Hardware(BaseModel):
    """One device: nominal, dense rates, and calibrated ones beside them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    compute_capability: str
    arch: str = Field(description="As compilers call it, e.g. 'sm_90a'.")
    identity: Identity
    sm_count: int
    l2_bytes: Rate
    shared_bytes_per_sm: Rate
    memory_bytes_per_s: Rate
    flops: dict[str, Rate] = Field(description="Dense operations per second by precision.")
    calibrated: Calibration = Field(default_factory=Calibration)


@dataclass(frozen=True)
class Floors:
    """Least times in microseconds, and what sets the nominal one.

    Args:
        nominal_us: from data-sheet rates.
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


def load_hardware(path: Path) -> dict[str, Hardware]:
    """Reads the table of devices, by their short names.

    Raises:
        DatasetError: when it is malformed, naming the device and field.
    """
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["devices"]
        return {name: Hardware(name=name, **entry) for name, entry in table.items()}
    except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"No table of devices: {error}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{where}: {first['msg']}", where=str(path)) from error


def devices_named(names: Sequence[str], path: Path) -> tuple[str, ...]:
    """Devices as the table writes them.

    Args:
        names: in any case; the table is not read when there are none.
        path: the table.

    Raises:
        RequestError: for a device that is not in the table, naming those that are.
    """
    known = load_hardware(path) if names else {}
    written = {name.casefold(): name for name in known}
    for name in names:
        if name.strip().casefold() not in written:
            raise unknown_name("target", name, known)
    return tuple(written[name.strip().casefold()] for name in names)


@lru_cache(maxsize=1)
def shipped_hardware() -> dict[str, Hardware]:
    """The table that comes with the operators."""
    return load_hardware(Path(str(files("kernel_harness.kernels"))) / "hardware.json")


def identify(
    name: str,
    sm_count: int | None,
    memory_mhz: int | None,
    table: Mapping[str, Hardware] | None = None,
) -> Hardware | None:
    """Finds the device's entry, or None: an unknown device has no floors rather than wrong ones.

    Boards of one chip differ up to twofold in bandwidth and rates and share most of their names, so
    name, multiprocessor count and memory clock must all fit.

    Args:
        name: as NVML reports it; a leading 'NVIDIA' does not matter.
        sm_count: multiprocessors visible; a MIG slice therefore is not recognised.
        memory_mhz: highest memory clock that NVML reports; None where it says nothing, and then
            the full name and the count must do.
        table: devices to choose from; the shipped ones when None.
    """
    devices = shipped_hardware() if table is None else table
    wanted = name.strip().removeprefix("NVIDIA ").strip()
    for device in devices.values():
        identity = device.identity
        low, high = identity.memory_mhz
        clock_fits = memory_mhz is None or low <= memory_mhz <= high
        if wanted in identity.names and sm_count == identity.sm_count and clock_fits:
            return device
    return None
