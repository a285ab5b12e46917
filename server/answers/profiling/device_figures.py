"""What is known of devices: measured figures in tables, and what floors go by with its sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from ....tools.devices.measurements import Microbenchmark
from ..result import Answer, Result
from ..text import fitted, lines, number, showing, table

if TYPE_CHECKING:
    from ....tools.devices.measurements import DeviceFigure, MeasuredPart
    from ....tools.profiling.device_figures import DeviceFigures

ROWS = 120
TITLES = {
    Microbenchmark.COPY: "Bandwidth in TB/s, L2 cold; bytes read and written",
    Microbenchmark.LAUNCH: "Launches, L2 cold",
    Microbenchmark.LATENCY: "One dependent step",
    Microbenchmark.BARRIER: "One barrier",
    Microbenchmark.TENSOR: "Matrix rates",
}


class KnownDevicePart(Result):
    """What is known of one device."""

    device: str
    driver: str | None = None
    harness: str | None = None
    file: str | None = None
    measured_now: list[str] = Field(default_factory=list)
    unmeasured: dict[str, str] = Field(default_factory=dict)


class DevicesAnswer(Answer):
    """What is known of the device here, or of the targets; the figures are in `summary`."""

    devices: list[KnownDevicePart]


def devices_answer(known: list[DeviceFigures]) -> DevicesAnswer:
    """Words what is known."""
    return fitted(lambda rows: _answer(known, rows), ROWS)


def _answer(known: list[DeviceFigures], rows: int) -> DevicesAnswer:
    unmeasured = any(one.unmeasured for one in known)
    summary = lines(
        *(_words(one, rows) for one in known),
        f"Next: {'the same call beside that GPU measures; ' if unmeasured else ''}cite a figure "
        "with its device and conditions. Floors go by these rates.",
    )
    return DevicesAnswer(summary=summary, devices=[_part(one) for one in known])


def _part(known: DeviceFigures) -> KnownDevicePart:
    return KnownDevicePart(
        device=known.device,
        driver=known.driver or None,
        harness=known.harness or None,
        file=str(known.file) if known.file else None,
        measured_now=[str(what) for what in known.measured_now],
        unmeasured=_by_reason(known.unmeasured),
    )


def _by_reason(unmeasured: Mapping[Microbenchmark, str]) -> dict[str, str]:
    """Why there are no figures, by the microbenchmarks that it holds for."""
    alike: dict[str, list[str]] = {}
    for what, why in unmeasured.items():
        alike.setdefault(why, []).append(str(what))
    return {", ".join(names): why for why, names in alike.items()}


def _words(known: DeviceFigures, rows: int) -> str:
    made = f" (driver {known.driver}, kernel-harness {known.harness})" if known.file else ""
    now = f" Measured now: {', '.join(known.measured_now)}." if known.measured_now else ""
    why = "; ".join(dict.fromkeys(known.unmeasured.values()))
    tables, left = [], rows
    for what, part in known.parts.items():
        tables.append(_tables(what, part, left))
        left = max(0, left - len(part.figures))
    return lines(
        f"{known.device}{made}.{now}",
        *tables,
        f"Not measured: {', '.join(known.unmeasured)}: {why}." if known.unmeasured else None,
        _rates(known) if known.unmeasured else None,
        *known.notes,
    )


def _tables(what: Microbenchmark, part: MeasuredPart, rows: int) -> str:
    day = part.measured_at.partition("T")[0]
    left = "; ".join(f"{name}: {why}" for name, why in part.skipped.items())
    shown, count = part.figures[:rows], len(part.figures)
    return lines(
        f"{TITLES[what]} ({day}):",
        _by_size(shown) if what is Microbenchmark.COPY else _listed(shown),
        showing(len(shown), count, f"ask for '{what}' alone."),
        f"Left out: {left}." if left else None,
    )


def _by_size(figures: list[DeviceFigure]) -> str:
    """A row for each policy, a column for each size."""
    sizes = list(dict.fromkeys(int(f.at["bytes"]) for f in figures))
    found: dict[str, dict[int, str]] = {}
    for figure in figures:
        found.setdefault(figure.name, {})[int(figure.at["bytes"])] = number(figure.value)
    rows = [[name, *(row.get(size, "") for size in sizes)] for name, row in found.items()]
    return table(["", *(f"{size >> 20} MiB" for size in sizes)], rows)


def _listed(figures: list[DeviceFigure]) -> str:
    rows = [[f.name, _conditions(f.at), f"{number(f.value)} {f.unit}"] for f in figures]
    return table(["", "", ""], rows).lstrip("\n")


def _conditions(at: Mapping[str, int | str]) -> str:
    return ", ".join(
        str(value) if isinstance(value, str) else counted_condition(value, name)
        for name, value in at.items()
    )


def counted_condition(value: int, name: str) -> str:
    """A count with what is counted: 1 warpgroup per SM, 2 blocks."""
    things, per, rest = name.partition(" ")
    return f"{value} {things.removesuffix('s') if value == 1 else things}{per}{rest}"


def _rates(known: DeviceFigures) -> str | None:
    """A row for each rate; the data sheet is named once, and of others each source."""
    if not known.rates:
        return None
    rows = [
        [
            f"{rate.name}, {rate.unit}",
            number(rate.nominal),
            number(rate.known),
            "" if rate.source == known.data_sheet else rate.source,
        ]
        for rate in known.rates
    ]
    return lines(
        f"Known of it; the data sheet is: {known.data_sheet}.",
        table(["", "data sheet", "known", "source"], rows),
    )
