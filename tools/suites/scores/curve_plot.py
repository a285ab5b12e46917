"""Draws a score's curves: by a threshold, the share of tasks that lie above it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...errors import RequestError
from .intervals import Curve

POINTS = 200
FORMATS = (".svg", ".png", ".pdf")


def draw_curves(curves: Sequence[Curve], path: Path, title: str, threshold: str) -> None:
    """Writes the picture; its format is that of the file's name.

    Args:
        threshold: what the horizontal axis is called.

    Raises:
        RequestError: when no task has a value, or the format is unknown.
    """
    from matplotlib.figure import Figure

    if path.suffix not in FORMATS:
        raise RequestError(
            "The picture's format is not known", where=str(path), remedy=f"One of {FORMATS}."
        )
    values = [value for curve in curves for value in curve.values]
    if not values:
        raise RequestError(
            "There is no curve to draw: nothing was timed beside the baseline",
            remedy="Evaluate the candidates on a machine with an NVIDIA GPU.",
        )
    most = 1.05 * max(values)
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    at = [most * i / POINTS for i in range(POINTS + 1)]
    for curve in curves:
        shares = [100 * curve.share_above(x) for x in at]
        axes.step(at, shares, where="post", label=f"{curve.name} ({curve.of})")
    axes.set(xlabel=threshold, ylabel="% of tasks above", xlim=(0, most), ylim=(0, 102))
    axes.set_title(title)
    axes.grid(alpha=0.4)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
