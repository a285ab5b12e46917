"""Plans at a terminal: what was forecast, what came of it, how far each agent is believed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.text import Text

from ...text import one_line
from ..search.forecasts import (
    Forecast,
    ForecastCalibration,
    ForecastReport,
    ForecastStatus,
    agent_of,
)
from ..store.entry import number
from .listing import Column, Listing

_COLOURS = {
    ForecastStatus.REACHED: "green",
    ForecastStatus.MISSED: "yellow",
    ForecastStatus.FAILED: "red",
    ForecastStatus.OPEN: "cyan",
    ForecastStatus.UNCLEAR: "bright_black",
}


def plans(report: ForecastReport, limit: int = 50) -> RenderableType:
    """The newest plans with what came of them, then calibrations by agent and by technique."""
    if not report.forecasts:
        return Text("No plan was recorded yet: record_plan makes one.", style="bright_black")
    shown = report.forecasts[-limit:][::-1]
    left = len(report.forecasts) - len(shown)
    columns = (
        *(Column("plan"), Column("status"), Column("forecast", right=True)),
        *(Column("gain", right=True), Column("candidate"), Column("recorded"), Column("by")),
        *(Column("idea", words=True), Column("found", words=True)),
    )
    parts: list[RenderableType] = [Listing(columns, [_row(forecast) for forecast in shown])]
    if left:
        parts.append(Text(f"… and {left} older; --limit shows more", style="bright_black"))
    for title, found in (("By agent", report.agents), ("By technique", report.techniques)):
        if found:
            parts += [Text(f"\n{title}", style="bold"), _calibrations(found)]
    return Group(*parts)


def _row(forecast: Forecast) -> list[Text]:
    plan, record = forecast.plan, forecast.plan.record
    when = datetime.fromtimestamp(plan.at, UTC).strftime("%Y-%m-%d %H:%M")
    return [
        Text(plan.plan_id, "bold"),
        Text(str(forecast.status), _COLOURS[forecast.status]),
        Text(f"{number(record.expected_gain)}x {record.confidence:.0%}"),
        Text(f"{number(forecast.gain)}x" if forecast.gain else ""),
        Text(forecast.candidate_id),
        Text(when),
        Text(agent_of(plan)),
        Text(one_line(record.hypothesis, 300)),
        Text("; in ".join(filter(None, [forecast.words, ", ".join(record.regimes)]))),
    ]


def _calibrations(found: Sequence[ForecastCalibration]) -> Listing:
    columns = (
        *(Column("who or what"), Column("decided", right=True), Column("said", right=True)),
        *(Column("came true", right=True), Column("Brier", right=True)),
        *(Column("base", right=True), Column("gain/forecast", right=True)),
        *(Column("off by", right=True), Column("advice", words=True)),
    )
    rows = [
        [
            Text(known.label),
            Text(str(known.decided)),
            Text(f"{known.confidence:.0%}"),
            Text(f"{known.reached:.0%}"),
            Text(f"{known.brier:.2f}"),
            Text(f"{known.base:.2f}"),
            Text(f"{known.bias:.2f}" if known.bias else ""),
            Text(f"{known.error:.2f}x" if known.error else ""),
            Text(known.correction),
        ]
        for known in found
    ]
    return Listing(columns, rows)
