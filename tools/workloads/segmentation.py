"""The arithmetic behind regimes: orders workloads by their axes, splits where latency changes.

Knows numbers only: no operator, no axis by name. Deterministic, and independent of the order in
which workloads are given, but for exact ties, which uuids break before they come here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

REDUNDANT = 0.98
"""Two axes whose ranks correlate this much tell the same thing (a length and a length plus one)."""

COUPLED_GAIN = 0.02
"""An order by several axes must follow latency better than one axis by this much, to be used."""

SMALLEST_GAIN = 0.02
"""A further band must explain this share of the variance of log latency, or else …"""

SMALLEST_STEP = math.log(1.2)
"""… be worth halving all workloads into two bands whose latencies differ by a fifth."""

ROUNDING = 1e-9
"""Sums of squares below this are arithmetic's own noise."""

MOST_ATOMS = 400
"""Distinct keys that are told apart; beyond them neighbours are taken together."""


@dataclass(frozen=True)
class Order:
    """Workloads' places along what makes their latency vary.

    Args:
        axes: the axes used, most independent first; empty when no axis varies.
        keys: one number per workload; equal numbers cannot be told apart.
        correlation: rank correlation of the keys with latency, 0 when nothing varies.
    """

    axes: tuple[str, ...]
    keys: tuple[float, ...]
    correlation: float


def order_by_axes(columns: Mapping[str, Sequence[float]], latencies: Sequence[float]) -> Order:
    """Chooses the axis, or the coupled axes, whose order follows latency best.

    Several axes are coupled by the mean of their ranks, each weighted and signed by its own rank
    correlation with latency; that is kept only where it follows latency better than the best
    single axis does.
    `columns` are, per axis, its size in each workload; axes that do not vary are ignored.
    """
    count = len(latencies)
    varying = {name: list(column) for name, column in columns.items() if len(set(column)) > 1}
    if not varying:
        return Order((), (0.0,) * count, 0.0)
    correlations = {name: spearman(column, latencies) for name, column in varying.items()}
    ranked = sorted(varying, key=lambda name: -abs(correlations[name]))
    independent: list[str] = []
    for name in ranked:
        if all(abs(spearman(varying[name], varying[kept])) < REDUNDANT for kept in independent):
            independent.append(name)
    best = independent[0]
    single = Order((best,), tuple(float(v) for v in varying[best]), correlations[best])
    if len(independent) == 1:
        return single
    keys = [0.0] * count
    for name in independent:
        for place, rank in enumerate(ranks(varying[name])):
            keys[place] += correlations[name] * rank
    coupled = spearman(keys, latencies)
    if abs(coupled) < abs(single.correlation) + COUPLED_GAIN:
        return single
    return Order(tuple(independent), tuple(keys), coupled)


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0 to 1; equal values share the mean of theirs."""
    places = sorted(range(len(values)), key=lambda place: values[place])
    found = [0.0] * len(values)
    start = 0
    while start < len(places):
        end = start
        while end + 1 < len(places) and values[places[end + 1]] == values[places[start]]:
            end += 1
        for place in places[start : end + 1]:
            found[place] = (start + end) / 2.0 / max(1, len(values) - 1)
        start = end + 1
    return found


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's rank correlation with ties; 0 when either side does not vary."""
    a, b = ranks(left), ranks(right)
    mean_a, mean_b = math.fsum(a) / len(a), math.fsum(b) / len(b)
    cross = math.fsum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    square = math.fsum((x - mean_a) ** 2 for x in a) * math.fsum((y - mean_b) ** 2 for y in b)
    return cross / math.sqrt(square) if square > 0 else 0.0


def split(keys: Sequence[float], values: Sequence[float], most: int) -> list[list[int]]:
    """Optimal contiguous bands of workloads along `keys`, at changes of `values`.

    Minimises the within-band sum of squares plus a charge per band (Bai and Perron's setting,
    solved exactly by dynamic programming). The charge is the smaller of `SMALLEST_GAIN` and
    `SMALLEST_STEP`, but no less than a BIC term from the scatter among equal or neighbouring keys,
    so that noise makes no band and a real step does. Workloads of equal key stay together.

    Returns:
        Bands in ascending order of key, each a list of positions.
    """
    atoms = _atoms(keys)
    sums = [(len(a), math.fsum(values[p] for p in a)) for a in atoms]
    squares = [math.fsum(values[p] ** 2 for p in a) for a in atoms]
    whole = _scatter(sums, squares)
    step = len(values) * SMALLEST_STEP**2 / 4.0
    bic = 2.0 * math.log(len(values) + 1) * _noise(atoms, values)
    charge = max(ROUNDING, bic, min(SMALLEST_GAIN * whole[0][-1], step))
    count = len(atoms)
    # best[k][e]: least cost of the first e atoms in k bands; cut[k][e]: where the last one starts.
    best = [[math.inf] * (count + 1) for _ in range(most + 1)]
    cut = [[0] * (count + 1) for _ in range(most + 1)]
    best[0][0] = 0.0
    for bands in range(1, min(most, count) + 1):
        for end in range(bands, count + 1):
            for start in range(bands - 1, end):
                cost = best[bands - 1][start] + whole[start][end - 1]
                if cost < best[bands][end] - 1e-12:
                    best[bands][end], cut[bands][end] = cost, start
    chosen = min(range(1, min(most, count) + 1), key=lambda k: (best[k][count] + k * charge, k))
    found: list[list[int]] = []
    end = count
    for bands in range(chosen, 0, -1):
        start = cut[bands][end]
        found.append([place for atom in atoms[start:end] for place in atom])
        end = start
    return found[::-1]


def _atoms(keys: Sequence[float]) -> list[list[int]]:
    """Positions grouped by equal key, in ascending order of key, at most `MOST_ATOMS` groups."""
    groups: dict[float, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    atoms = [groups[key] for key in sorted(groups)]
    together = -(-len(atoms) // MOST_ATOMS)
    return [
        [place for atom in atoms[start : start + together] for place in atom]
        for start in range(0, len(atoms), together)
    ]


def _scatter(sums: Sequence[tuple[int, float]], squares: Sequence[float]) -> list[list[float]]:
    """Sum of squares around the mean of every run of atoms, by first and last."""
    table: list[list[float]] = []
    for start in range(len(sums)):
        row = [0.0] * len(sums)
        count, total, square = 0, 0.0, 0.0
        for end in range(start, len(sums)):
            count += sums[end][0]
            total += sums[end][1]
            square += squares[end]
            row[end] = max(0.0, square - total * total / count)
        table.append(row)
    return table


def _noise(atoms: Sequence[Sequence[int]], values: Sequence[float]) -> float:
    """Variance that no order explains: within equal keys, else between neighbours' differences."""
    repeated = [atom for atom in atoms if len(atom) > 1]
    freedom = sum(len(atom) - 1 for atom in repeated)
    if freedom >= 3:
        total = 0.0
        for atom in repeated:
            mean = math.fsum(values[p] for p in atom) / len(atom)
            total += math.fsum((values[p] - mean) ** 2 for p in atom)
        return total / freedom
    means = [math.fsum(values[p] for p in atom) / len(atom) for atom in atoms]
    # A constant slope is no noise: second differences of a straight line are zero. A step makes two
    # large ones, so their lower quartile is taken (a normal deviate's is 0.3186); few say nothing.
    bends = sorted(abs(a - 2 * b + c) for a, b, c in zip(means, means[1:], means[2:], strict=False))
    if len(bends) < 4:
        return 0.0
    return (bends[(len(bends) - 1) // 4] / 0.3186) ** 2 / 6.0
