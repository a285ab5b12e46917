"""Compares two profiles and returns the differences that matter.

Kernels of two solutions rarely share names, so they are compared in the order of their device
time: longest with longest. A difference matters when it is large against the figure's own scale
and the figure says something of speed; the most telling come first. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from ...schema.record_model import FiniteFloat, RecordModel
from .kernel_profile import KernelProfile

MOST = 12


class Difference(RecordModel):
    """One figure that differs between a candidate and what it is compared to."""

    workload_uuid: str
    kernel: str = Field(description="The candidate's kernel, or 'call' for the whole.")
    other_kernel: str | None = None
    figure: str
    unit: str
    value: FiniteFloat = None
    other: FiniteFloat = None
    says: str = Field(description="The difference in words.")
    weight: float = Field(description="How much it matters, larger first; an ordering only.")


@dataclass(frozen=True)
class _Figure:
    """How one figure is compared.

    Attributes:
        step: difference below which it says nothing, in the figure's unit.
        relative: whether `step` is a share of the larger value.
        better: +1 where more is better, -1 where less is, 0 where it depends.
    """

    unit: str
    step: float
    relative: bool = False
    better: int = 0


_FIGURES: dict[str, _Figure] = {
    "duration_us": _Figure("us", 0.03, relative=True, better=-1),
    "launches": _Figure("", 0.5, better=-1),
    "dram_bytes": _Figure("byte", 0.10, relative=True, better=-1),
    "instructions": _Figure("", 0.15, relative=True, better=-1),
    "dram_percent": _Figure("%", 8.0),
    "l2_percent": _Figure("%", 10.0),
    "l1_percent": _Figure("%", 10.0),
    "tensor_percent": _Figure("%", 8.0, better=1),
    "fma_percent": _Figure("%", 10.0),
    "issue_percent": _Figure("%", 10.0),
    "sm_active_percent": _Figure("%", 8.0, better=1),
    "waves": _Figure("", 0.25, relative=True),
    "registers": _Figure("register/thread", 8.0, better=-1),
    "shared_bytes": _Figure("byte", 0.2, relative=True),
    "occupancy_theoretical_percent": _Figure("%", 10.0),
    "occupancy_achieved_percent": _Figure("%", 10.0),
    "sector_efficiency_percent": _Figure("%", 8.0, better=1),
    "bank_conflict_percent": _Figure("%", 5.0, better=-1),
    "spill_requests": _Figure("", 0.2, relative=True, better=-1),
    "local_instructions": _Figure("", 0.2, relative=True, better=-1),
    "l2_hit_percent": _Figure("%", 10.0, better=1),
    "warp_cycles_per_instruction": _Figure("cycle", 0.2, relative=True, better=-1),
}
_STALL = _Figure("%", 10.0, better=-1)


def differences(
    workload_uuid: str, kernels: Sequence[KernelProfile], others: Sequence[KernelProfile]
) -> list[Difference]:
    """Compares two profiles of one workload.

    Args:
        kernels: the candidate's, longest first.
        others: those of what it is compared to, longest first.

    Returns:
        At most twelve differences, the most telling first; none for equal profiles.
    """
    found = _call_differences(workload_uuid, kernels, others)
    for mine, theirs in zip(kernels, others, strict=False):
        share = max(mine.share, theirs.share)
        for name, figure in _FIGURES.items():
            entry = _compare(name, figure, getattr(mine, name), getattr(theirs, name))
            if entry is not None:
                found.append(_difference(workload_uuid, mine, theirs, name, figure, entry, share))
        found += _stall_differences(workload_uuid, mine, theirs, share)
    found.sort(key=lambda item: item.weight, reverse=True)
    return found[:MOST]


@dataclass(frozen=True)
class _Entry:
    value: float
    other: float
    steps: float


def _compare(
    name: str, figure: _Figure, value: float | int | None, other: float | int | None
) -> _Entry | None:
    if value is None or other is None:
        return None
    step = figure.step * max(abs(value), abs(other)) if figure.relative else figure.step
    if step <= 0 or abs(value - other) < step:
        return None
    return _Entry(float(value), float(other), min(abs(value - other) / step, 10.0))


def _difference(
    uuid: str,
    mine: KernelProfile,
    theirs: KernelProfile,
    name: str,
    figure: _Figure,
    entry: _Entry,
    share: float,
) -> Difference:
    return Difference(
        workload_uuid=uuid,
        kernel=mine.name,
        other_kernel=theirs.name,
        figure=name,
        unit=figure.unit,
        value=entry.value,
        other=entry.other,
        says=_words(name, figure, entry),
        weight=round(entry.steps * share * (2.0 if figure.better else 1.0), 4),
    )


def _words(name: str, figure: _Figure, entry: _Entry) -> str:
    direction = "more" if entry.value > entry.other else "less"
    sign = 1 if entry.value > entry.other else -1
    verdict = {0: "", 1: ", which is better", -1: ", which is worse"}[figure.better * sign]
    label = name.removesuffix("_percent").removesuffix("_us").replace("_", " ")
    unit = f" {figure.unit}" if figure.unit else ""
    return f"{direction} {label}: {entry.value:.4g} against {entry.other:.4g}{unit}{verdict}"


def _call_differences(
    uuid: str, kernels: Sequence[KernelProfile], others: Sequence[KernelProfile]
) -> list[Difference]:
    found = []
    totals = {
        "duration_us": (
            sum(k.duration_us or 0.0 for k in kernels),
            sum(k.duration_us or 0.0 for k in others),
        ),
        "launches": (sum(k.launches for k in kernels), sum(k.launches for k in others)),
    }
    if not kernels or not others or (len(kernels) == len(others) == 1):
        return found
    for name, (value, other) in totals.items():
        entry = _compare(name, _FIGURES[name], value, other)
        if entry is not None:
            found.append(
                Difference(
                    workload_uuid=uuid,
                    kernel="call",
                    figure=name,
                    unit=_FIGURES[name].unit,
                    value=entry.value,
                    other=entry.other,
                    says=_words(name, _FIGURES[name], entry),
                    weight=round(entry.steps * 3.0, 4),
                )
            )
    return found


def _stall_differences(
    uuid: str, mine: KernelProfile, theirs: KernelProfile, share: float
) -> list[Difference]:
    ours = {stall.reason: 100 * stall.share for stall in mine.stalls}
    other = {stall.reason: 100 * stall.share for stall in theirs.stalls}
    if not ours or not other:
        return []
    found = []
    for reason in ours.keys() | other.keys():
        entry = _compare(reason, _STALL, ours.get(reason, 0.0), other.get(reason, 0.0))
        if entry is not None:
            name = f"stall_{reason}_percent"
            found.append(_difference(uuid, mine, theirs, name, _STALL, entry, share))
    return found
