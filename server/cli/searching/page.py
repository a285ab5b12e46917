"""A search as a page that reloads itself: one file, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .words import round_line, search_lines

if TYPE_CHECKING:
    from ....tools.agents.records.events import RoundEnded
    from ....tools.agents.records.state import SearchState

RELOADED_S = 5
WIDTH, HEIGHT, MARGIN = 720, 240, 40
_STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;
background:Canvas;color:CanvasText}
pre{white-space:pre-wrap}table{border-collapse:collapse;width:100%}
td,th{padding:.2rem .6rem;text-align:left;border-bottom:1px solid #8886;vertical-align:top}
svg{width:100%;height:auto}:root{color-scheme:light dark}"""


def write_page(
    file: Path, state: SearchState, now: float, activity: Mapping[int, str] | None = None
) -> None:
    """Writes the page; whoever reads it meanwhile sees the old one or the new one."""
    draft = file.with_suffix(".new")
    draft.write_text(page_of(state, now, activity), encoding="utf-8")
    os.replace(draft, file)


def page_of(state: SearchState, now: float, activity: Mapping[int, str] | None = None) -> str:
    """The page's text."""
    title = html.escape(f"{state.began.search_id}: {state.options.definition}")
    reload_ = "" if state.ended else f'<meta http-equiv="refresh" content="{RELOADED_S}">'
    lines = html.escape("\n".join(search_lines(state, now, activity)[:6]))
    doing = html.escape("\n".join(f"round {n}: {what}" for n, what in (activity or {}).items()))
    rows = "".join(_row(ended) for ended in reversed(state.finished))
    ended = html.escape(f"Ended: {state.ended.reason}.") if state.ended else ""
    at = "" if state.ended else f" ({datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{reload_}'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1><pre>{lines}</pre>"
        f"<p>{ended}</p><h2>Best so far</h2>{curve(state)}"
        f"<h2>Now{at}</h2><pre>{doing or 'nothing'}</pre>"
        f"<h2>Rounds</h2><table><tr><th>Round</th><th>Best</th><th>What came of it</th></tr>"
        f"{rows}</table></html>\n"
    )


def curve(state: SearchState) -> str:
    """The best time after each round, as a picture."""
    points = [(e.number, e.best_us) for e in state.finished if e.best_us is not None]
    if state.start is not None and state.start.start_us is not None:
        points.insert(0, (0, state.start.start_us))
    if len(points) < 2:
        return "<p>Nothing to draw yet.</p>"
    points.sort()
    last = max(number for number, _ in points) or 1
    low, high = min(us for _, us in points), max(us for _, us in points)
    span = (high - low) or 1.0

    def place(number: int, us: float) -> tuple[float, float]:
        x = MARGIN + (WIDTH - 2 * MARGIN) * number / last
        return x, MARGIN + (HEIGHT - 2 * MARGIN) * (high - us) / span

    path, before = "", None
    for number, us in points:
        x, y = place(number, us)
        path += f"M{x:.1f},{y:.1f}" if before is None else f"H{x:.1f}V{y:.1f}"
        before = us
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="best time by round">'
        f'<path d="{path}" fill="none" stroke="#2a78d6" stroke-width="2"/>'
        f'<text x="4" y="{MARGIN}" font-size="12" fill="currentColor">{high:.4g} us</text>'
        f'<text x="4" y="{HEIGHT - MARGIN}" font-size="12" fill="currentColor">{low:.4g} us</text>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 10}" font-size="12" fill="currentColor" '
        f'text-anchor="end">round {last}</text></svg>'
    )


def _row(ended: RoundEnded) -> str:
    best = f"{ended.best_us:.4g} us" if ended.best_us is not None else "–"
    words = html.escape(round_line(ended).partition(": ")[2])
    return f"<tr><td>{ended.number}</td><td>{best}</td><td>{words}</td></tr>"
