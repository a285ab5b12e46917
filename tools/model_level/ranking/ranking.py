"""Ranks a program's operators by what can be won: share of the step, less what no kernel can save.

Pure. A floor is the time that the device needs for the bytes and operations that every
implementation of an operator must move and do. By Amdahl's law a step becomes
1 / (1 - share * (1 - floor / time)) times as fast at most.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ...devices.hardware import Hardware
from ...devices.roofline import Cost, floors
from .observations import Observed, ObservedOperator, ObservedShapes, Rates

LAUNCH_BOUND = 0.3
"""Share of a step in which the device waits, from which it is the host that limits."""
FLOP_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float64": "fp64"}


@dataclass(frozen=True)
class RankedOperator:
    """One candidate for a kernel.

    Args:
        row: its place, from 1.
        calls: a step.
        time_us: a step, of the device; without a GPU of the host.
        host_us: a step, of the host.
        launches: kernels a step.
        share: of the step.
        floor_us: a step.
        gain_share: share of the step that can be won at most.
        bound: how many times as fast the step can become by this operator alone.
    """

    row: int
    operator: ObservedOperator
    calls: float
    time_us: float
    host_us: float
    launches: float
    share: float
    floor_us: float
    gain_share: float
    bound: float

    @property
    def name(self) -> str:
        """The operator's name."""
        return self.operator.name


@dataclass(frozen=True)
class ModelRanking:
    """The candidates of a program.

    Args:
        step_us: median of steps without the profiler.
        busy_us: of a step, in which operators run.
        gap_us: of a step, in which none does.
        launches: kernels a step.
        launch_bound: whether the host limits the step; None without a GPU.
        bound: how many times as fast the step can become by all operators together.
        rates: by which floors are.
        blocks: regions that call modules, with all in them, which overlap operators.
    """

    observed: Observed
    step_us: float
    host_us: float
    busy_us: float
    gap_us: float
    launches: float
    launch_bound: bool | None
    bound: float
    rates: str
    operators: tuple[RankedOperator, ...]
    blocks: tuple[RankedOperator, ...]


def amdahl(saved: float) -> float:
    """How many times as fast a whole becomes of which a share is saved."""
    return 1 / max(1 - saved, 1e-9)


def rank(observed: Observed, hardware: Hardware | None) -> ModelRanking:
    """The operators of a program, those first by which most can be won.

    Args:
        hardware: the device's entry in the table; None: floors are by what was measured.
    """
    steps = max(observed.profiled_steps, 1)
    busy = sum(c.time_us for o in observed.operators for c in o.calls) / steps
    plain = statistics.median(observed.step_us) if observed.step_us else busy
    # Operators take longer while they are profiled; a step has not less than all of their time.
    step = max(plain, busy)
    operators = [_ranked(o, observed, hardware, step) for o in observed.operators]
    blocks = [_ranked(o, observed, hardware, step) for o in observed.blocks]
    gap = max(step - busy, 0.0)
    return ModelRanking(
        observed,
        step,
        statistics.median(observed.host_us) if observed.host_us else step,
        busy,
        gap,
        sum(one.launches for one in operators),
        None if observed.device is None else gap / step >= LAUNCH_BOUND,
        amdahl(sum(one.gain_share for one in operators)),
        hardware.name if hardware else observed.measured.source,
        _numbered(operators),
        _numbered(blocks),
    )


def _numbered(found: Sequence[RankedOperator]) -> tuple[RankedOperator, ...]:
    ordered = sorted(found, key=lambda one: (-one.gain_share, -one.time_us, one.name))
    return tuple(
        RankedOperator(**{**vars(one), "row": place}) for place, one in enumerate(ordered, 1)
    )


def _ranked(
    operator: ObservedOperator, observed: Observed, hardware: Hardware | None, step_us: float
) -> RankedOperator:
    steps = max(observed.profiled_steps, 1)
    time_us = sum(c.time_us for c in operator.calls) / steps
    share = min(time_us / step_us, 1.0) if step_us else 0.0
    each = [_floor_us(operator, calls, observed.measured, hardware) for calls in operator.calls]
    floor_us = sum(each) / steps
    saved = max(1 - floor_us / time_us, 0.0) if time_us else 0.0
    return RankedOperator(
        0,
        operator,
        sum(c.calls for c in operator.calls) / steps,
        time_us,
        sum(c.host_us for c in operator.calls) / steps,
        sum(c.launches for c in operator.calls) / steps,
        share,
        floor_us,
        share * saved,
        amdahl(share * saved),
    )


def _floor_us(
    operator: ObservedOperator, calls: ObservedShapes, measured: Rates, hardware: Hardware | None
) -> float:
    """The floor of all calls with equal shapes."""
    narrow = [FLOP_DTYPES[d] for d in operator.dtypes.values() if d in FLOP_DTYPES]
    precision = narrow[0] if narrow else "fp32"
    if hardware is None:
        rate = measured.flops.get(precision, measured.flops["fp32"])
        each_s = calls.bytes_moved / measured.memory_bytes_per_s, calls.flops / rate
        return max(each_s) * 1e6
    count = max(calls.calls, 1)
    cost = Cost(
        bytes_read=calls.bytes_moved / count,
        flops={_tensor_core(precision, hardware): calls.flops / count},
    )
    found = floors(cost, hardware)
    return max(found.nominal_us, found.latency_us or 0.0) * count


def _tensor_core(precision: str, hardware: Hardware) -> str:
    """The kind of operations at whose rate a matrix product of these numbers may be done."""
    if precision == "fp32" and "tf32" in hardware.flops:
        return "tf32"
    return precision
