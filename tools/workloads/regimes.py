"""Regimes: bands of workloads that behave alike, and a small sample that stands for all of them.

No axis name and no threshold is written here: which axis matters, and where the bands part, follows
from latencies, measured where there are any, else published, else estimated from the roofline. The
result goes stale with the latencies it was made from; `basis` and `workload_digest` say which.

Pure. It does not promise that a gain on a regime's representative is a gain on its other members.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..devices.hardware import Hardware, shipped_hardware
from ..devices.roofline import floors
from ..errors import HarnessError
from .operators import Operator
from .segmentation import Order, order_by_axes, split

OUTLIER_SHARE = 1.0 / 3.0
"""A workload, or a tiny band, with this share of all latency is a regime of its own."""

TINY = 2
"""Members of a band that still counts as tiny."""

MOST_BANDS = 6
"""Bands beyond the outliers; more would be a list of the workloads again."""

MOST_SAMPLES = 8
"""Workloads sampled where no other number is asked for."""

ESTIMATE_DEVICE = "H200"

Basis = Literal["measured", "published", "estimated"]


class Regime(BaseModel):
    """Workloads that behave alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    axes: dict[str, tuple[int, int]] = Field(description="Smallest and largest size by axis.")
    members: list[str] = Field(description="Workload uuids, in ascending order of the axes.")
    latency_share: float = Field(description="Share of the summed latency of all workloads.")
    representative: str = Field(description="The member of median latency.")
    kind: Literal["band", "outlier", "whole"]
    why: str

    @property
    def count(self) -> int:
        """How many workloads are in it."""
        return len(self.members)


class ShapeSample(BaseModel):
    """Regimes, and the workloads that stand for all with their weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    regimes: list[Regime]
    weights: dict[str, float] = Field(
        description="Sampled uuid to weight; the weighted sum of the sample's latencies estimates "
        "the mean over all workloads."
    )
    workload_digest: str
    basis: Basis
    expected_error: float | None = Field(
        description="Estimate over true mean, minus 1, on latencies that the weights were not made "
        "from: published ones, else floors; null where the weights rest on floors."
    )
    why: str

    def regime_of(self, uuid: str) -> str | None:
        """Name of the regime a workload belongs to."""
        return self._regime_names.get(uuid)

    @cached_property
    def _regime_names(self) -> dict[str, str]:
        return {uuid: regime.name for regime in self.regimes for uuid in regime.members}


@dataclass(frozen=True)
class _Known:
    """Latencies of all workloads and where they are from."""

    latencies: dict[str, float]
    basis: Basis
    note: str
    others: dict[str, float] | None = None
    """Of all workloads too, from another source; to see how far a sample carries."""


@dataclass(frozen=True)
class _Band:
    """A regime without name and description."""

    members: list[str]
    kind: Literal["band", "outlier", "whole"]
    representative: str


def sample_shapes(
    operator: Operator,
    latencies: Mapping[str, float] | None = None,
    max_samples: int = MOST_SAMPLES,
    *,
    hardware: Hardware | None = None,
) -> ShapeSample:
    """Finds an operator's regimes and chooses the workloads to explore with.

    The sample holds each regime's member of median latency, then, as far as `max_samples` allows,
    the heaviest workload and one at the sharpest boundary. Outliers stand for themselves.

    Args:
        latencies: microseconds by uuid, e.g. of the last full evaluation; may miss some or all.
        hardware: device whose floors stand in where no latency is known; the shipped H200 if None.
    """
    if not operator.workloads:
        return ShapeSample(
            regimes=[],
            weights={},
            workload_digest=operator.digest,
            basis="estimated",
            expected_error=None,
            why="the definition has no workloads",
        )
    known = _known_latencies(operator, latencies or {}, hardware)
    sizes = {w.uuid: w.axes for w in operator.workloads}
    outliers, rest = _outliers(known.latencies, max(0, max_samples - 1))
    order = _order(rest, sizes, known.latencies)
    place = dict(zip(rest, order.keys, strict=True))
    spare = 2 if max_samples >= 4 else 0
    most = max(1, min(MOST_BANDS, max_samples - len(outliers) - spare))
    groups = split(order.keys, [math.log(known.latencies[u]) for u in rest], most)
    bands = [_band([rest[p] for p in group], place, known.latencies) for group in groups]
    if len(bands) == 1 and not outliers:
        bands = [_Band(bands[0].members, "whole", bands[0].representative)]
    extras = _extras(bands, known.latencies, place)[: max(0, max_samples - len(outliers + bands))]
    everything = bands + outliers
    weights = _weights(everything, extras, known.latencies)
    return ShapeSample(
        regimes=_described(everything, sizes, known, order),
        weights=weights,
        workload_digest=operator.digest,
        basis=known.basis,
        expected_error=_expected_error(weights, known),
        why=_why(order, len(bands), len(outliers), known),
    )


# --- latencies --------------------------------------------------------------------------------


def _known_latencies(
    operator: Operator, measured: Mapping[str, float], hardware: Hardware | None
) -> _Known:
    """Measured latencies, completed by published and then by estimated ones, scaled to fit."""
    uuids = [w.uuid for w in operator.workloads]
    sources: list[tuple[Basis, dict[str, float]]] = [
        ("measured", _usable(measured, uuids)),
        ("published", _usable(operator.published, uuids)),
    ]
    found: dict[str, float] = {}
    said: list[str] = []
    for basis, latencies in sources:
        added = _fitted(latencies, found)
        if added:
            said.append(f"{len(added)} {basis}" + _origin(operator, basis))
        found |= added
        if len(found) == len(uuids):
            others = next((o for _, o in sources if o.keys() >= found.keys() and o != found), None)
            others = others or _estimates(operator, hardware)[0]
            return _Known(found, basis, " and ".join(said), others)
    estimates, note = _estimates(operator, hardware)
    added = _fitted(estimates, found)
    said.append(f"{len(added)} estimated ({note})")
    return _Known(found | added, "estimated", " and ".join(said))


def _usable(latencies: Mapping[str, float], uuids: Sequence[str]) -> dict[str, float]:
    found = {uuid: float(latencies[uuid]) for uuid in uuids if latencies.get(uuid) is not None}
    return {uuid: us for uuid, us in found.items() if math.isfinite(us) and us > 0}


def _fitted(latencies: Mapping[str, float], found: Mapping[str, float]) -> dict[str, float]:
    """Those not found yet, scaled by the geometric mean ratio where both are known."""
    both = sorted(latencies.keys() & found.keys())
    logs = [math.log(found[uuid] / latencies[uuid]) for uuid in both]
    scale = math.exp(math.fsum(logs) / len(logs)) if logs else 1.0
    return {uuid: us * scale for uuid, us in latencies.items() if uuid not in found}


def _origin(operator: Operator, basis: Basis) -> str:
    device = operator.published_device if basis == "published" else ""
    return f" for {device}" if device else ""


def _estimates(operator: Operator, hardware: Hardware | None) -> tuple[dict[str, float], str]:
    device = hardware or shipped_hardware()[ESTIMATE_DEVICE]
    found: dict[str, float] = {}
    try:
        for workload in operator.workloads:
            least = floors(operator.expected_cost(workload.uuid), device)
            us = least.latency_us if least.latency_us is not None else least.nominal_us
            found[workload.uuid] = max(us, 1e-3)
    except HarnessError as error:
        same = {workload.uuid: 1.0 for workload in operator.workloads}
        return same, f"all alike, for the cost model failed: {error.what}"
    return found, f"floor of {device.name}"


# --- bands ------------------------------------------------------------------------------------


def _outliers(latencies: Mapping[str, float], most: int) -> tuple[list[_Band], list[str]]:
    """Single workloads that hold a third of all latency, heaviest first, and the others."""
    total = math.fsum(latencies.values())
    heavy = sorted(latencies, key=lambda uuid: (-latencies[uuid], uuid))
    # Among three workloads or fewer, a third is no more than a fair share.
    notable = [uuid for uuid in heavy if latencies[uuid] >= OUTLIER_SHARE * total]
    chosen = notable[:most] if len(latencies) > 3 else []
    rest = sorted(latencies.keys() - set(chosen))
    return [_Band([uuid], "outlier", uuid) for uuid in chosen], rest


def _order(
    uuids: Sequence[str], sizes: Mapping[str, Mapping[str, int]], latencies: Mapping[str, float]
) -> Order:
    names = sorted({name for uuid in uuids for name in sizes[uuid]})
    columns = {name: [sizes[uuid].get(name, 0) for uuid in uuids] for name in names}
    return order_by_axes(columns, [latencies[uuid] for uuid in uuids])


def _band(
    members: Sequence[str], place: Mapping[str, float], latencies: Mapping[str, float]
) -> _Band:
    total = math.fsum(latencies.values())
    share = math.fsum(latencies[uuid] for uuid in members) / total
    tiny = len(members) <= TINY and len(latencies) > 3 * len(members)
    by_latency = sorted(members, key=lambda uuid: (latencies[uuid], place[uuid], uuid))
    middle = {by_latency[(len(members) - 1) // 2], by_latency[len(members) // 2]}
    mean = math.fsum(latencies[uuid] for uuid in members) / len(members)
    return _Band(
        members=sorted(members, key=lambda uuid: (place[uuid], uuid)),
        kind="outlier" if tiny and share >= OUTLIER_SHARE else "band",
        representative=min(middle, key=lambda uuid: (abs(latencies[uuid] - mean), uuid)),
    )


def _extras(
    bands: Sequence[_Band], latencies: Mapping[str, float], place: Mapping[str, float]
) -> list[str]:
    """The heaviest workload of the bands and one at the sharpest boundary, if not sampled yet."""
    heaviest = max(place, key=lambda uuid: (latencies[uuid], place[uuid], uuid))
    proposed = [heaviest, *_boundary(bands, latencies)]
    sampled = {band.representative for band in bands}
    extras: list[str] = []
    for uuid in proposed:
        if uuid not in sampled and len(extras) < 2:
            extras.append(uuid)
            sampled.add(uuid)
    return extras


def _boundary(bands: Sequence[_Band], latencies: Mapping[str, float]) -> list[str]:
    """Members beside the sharpest change between neighbouring bands; an edge where there is one."""
    if len(bands) == 1:
        return [bands[0].members[0], bands[0].members[-1]]

    def level(band: _Band) -> float:
        return math.fsum(math.log(latencies[u]) for u in band.members) / len(band.members)

    pairs = list(zip(bands, bands[1:], strict=False))
    below, above = max(pairs, key=lambda pair: abs(level(pair[1]) - level(pair[0])))
    return [above.members[0], below.members[-1]]


def _weights(
    bands: Sequence[_Band], extras: Sequence[str], latencies: Mapping[str, float]
) -> dict[str, float]:
    """Each extra stands for itself, each representative for the rest of its regime.

    A representative counts for the time of those it stands for, in multiples of its own: counted as
    so many workloads of its own latency, two samples of one operator would rank a kernel apart by
    which member happened to be drawn.
    """
    count = sum(len(band.members) for band in bands)
    weights: dict[str, float] = {}
    for band in bands:
        own = [uuid for uuid in extras if uuid in band.members]
        for_these = math.fsum(latencies[uuid] for uuid in band.members if uuid not in own)
        weights[band.representative] = for_these / latencies[band.representative] / count
        weights |= dict.fromkeys(own, 1.0 / count)
    return weights


def _expected_error(weights: Mapping[str, float], known: _Known) -> float | None:
    if known.others is None:
        return None
    mean = math.fsum(known.others.values()) / len(known.others)
    return math.fsum(w * known.others[uuid] for uuid, w in weights.items()) / mean - 1.0


# --- words ------------------------------------------------------------------------------------


def _described(
    bands: Sequence[_Band], sizes: Mapping[str, Mapping[str, int]], known: _Known, order: Order
) -> list[Regime]:
    total = math.fsum(known.latencies.values())
    names = {name for axes in sizes.values() for name in axes}
    varying = sorted(n for n in names if len({axes.get(n) for axes in sizes.values()}) > 1)
    shown = [*order.axes, *(n for n in varying if n not in order.axes)] or sorted(names)
    regimes: list[Regime] = []
    for band in bands:
        ranges = {
            name: (
                min(sizes[uuid].get(name, 0) for uuid in band.members),
                max(sizes[uuid].get(name, 0) for uuid in band.members),
            )
            for name in shown
        }
        share = math.fsum(known.latencies[uuid] for uuid in band.members) / total
        name = _name(band, ranges, order.axes or tuple(shown))
        repeated = sum(r.name.split(" #")[0] == name for r in regimes)
        regimes.append(
            Regime(
                name=f"{name} #{repeated + 1}" if repeated else name,
                axes=ranges,
                members=band.members,
                latency_share=share,
                representative=band.representative,
                kind=band.kind,
                why=_why_band(band, share, known),
            )
        )
    return regimes


def _name(band: _Band, ranges: Mapping[str, tuple[int, int]], axes: Sequence[str]) -> str:
    if band.kind == "whole":
        return "all workloads"
    words = [
        f"{name} {low}" if low == high else f"{name} {low}-{high}"
        for name, (low, high) in ranges.items()
        if name in axes
    ]
    prefix = "outlier " if band.kind == "outlier" else ""
    return prefix + ", ".join(words)


def _why_band(band: _Band, share: float, known: _Known) -> str:
    latencies = [known.latencies[uuid] for uuid in band.members]
    low, high = min(latencies), max(latencies)
    spread = f"{low:.4g} us" if low == high else f"{low:.4g} to {high:.4g} us"
    words = f"{len(band.members)} of {len(known.latencies)} workloads, {spread}, "
    words += f"{share:.0%} of all latency"
    if band.kind == "outlier":
        return f"{words}: too much for a band of others"
    return words


def _why(order: Order, bands: int, outliers: int, known: _Known) -> str:
    if order.axes:
        axes = " and ".join(order.axes)
        words = f"ordered by {axes} (rank correlation with latency {order.correlation:.2f}), "
    else:
        words = "no axis varies, "
    words += f"{bands} band{'s' if bands != 1 else ''} parted where latency changes"
    if outliers:
        words += f", {outliers} outlier{'s' if outliers != 1 else ''} with a third of it or more"
    words += f"; latencies: {known.note}"
    if known.basis == "estimated":
        words += "; the error of the sample is not known, for the latencies are estimates"
    return words
