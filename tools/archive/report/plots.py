"""Draws charts: latency against floor, roofline; SVG for pages, PNG for tools.

Matplotlib draws the axes; points of one candidate are laid over them as SVG circles, so that a
thousand pages share one drawing of the axes and every page of an operator has the same scale. Pure:
values in, text or bytes out. Imported only when something is drawn.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from ...schema.evaluation import Evaluation
from ..store.entry import number

POINT = "#2563eb"
PROMOTED = "#c2410c"
GREY = "#8a8f98"
GRID = "#d5d8dd"
TEXT = "#222428"
BOX = (0.11, 0.14, 0.86, 0.74)
_SIZE = (7.2, 4.2)
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kernel-harness",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
}
SMALL: Any = {"ha": "right", "va": "bottom", "fontsize": 8}
_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_THEME = {TEXT: "currentColor", GRID: "var(--line)", GREY: "var(--muted)", POINT: "var(--accent)"}
_THEME[PROMOTED] = "var(--promoted)"


@dataclass(frozen=True)
class PlotPoint:
    """One workload: `x` and `y` in the units of the plot's axes."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Roof:
    """A device's nominal rates: bytes per second, and operations per second by precision."""

    device: str
    bytes_per_s: float
    peaks: Mapping[str, float]


@dataclass(frozen=True)
class Frame:
    """Axes drawn once, with logarithmic limits, for points to be laid over."""

    svg: str
    x: tuple[float, float]
    y: tuple[float, float]

    def with_points(self, points: Sequence[PlotPoint]) -> str:
        """The drawing with a circle for each point; one outside the limits sits on the rim."""
        left, bottom, width, height = BOX
        wide, high = _SIZE[0] * 72, _SIZE[1] * 72
        circles = []
        for point in points:
            cx = (left + width * _share(point.x, self.x)) * wide
            cy = (1 - bottom - height * _share(point.y, self.y)) * high
            circles.append(
                f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3.6" class="point">'
                f"<title>{escape(point.label)}</title></circle>"
            )
        return self.svg.removesuffix("</svg>") + "".join(circles) + "</svg>"


def _share(value: float, limits: tuple[float, float]) -> float:
    low, high = (math.log10(limit) for limit in limits)
    return min(1.0, max(0.0, (math.log10(max(value, 1e-300)) - low) / (high - low)))


def log_limits(values: Sequence[float], margin: float = 1.6) -> tuple[float, float]:
    """Limits of a logarithmic axis that hold all of the values, with a margin."""
    low, high = min(values), max(values)
    return low / margin, high * margin


# --- time against floor -----------------------------------------------------------------------


def floor_points(evaluation: Evaluation, device: str = "device") -> list[PlotPoint]:
    """Floor and latency in microseconds of each timed workload with a floor of `device`."""
    points = []
    for workload in evaluation.workloads:
        floor, latency = workload.floors_us.get(device), workload.latency_us
        if floor and latency:
            axes = " ".join(f"{k}={v}" for k, v in workload.axes.items())
            share = f"{number(latency)} us, floor {number(floor)} us, {floor / latency:.0%}"
            points.append(PlotPoint(floor, latency, f"{axes}: {share}"))
    return points


def floor_frame(points: Sequence[PlotPoint], device: str = "device") -> Frame:
    """Axes for time against floor that hold all of the points."""
    x, y = _floor_limits(points)
    with mpl.rc_context(STYLE):
        return Frame(svg_text(_floor_figure(x, y, device), f"Latency against {device} floor"), x, y)


def floor_png(
    points: Sequence[PlotPoint],
    device: str = "device",
    estimates: Sequence[PlotPoint] = (),
    title: str = "",
) -> bytes:
    """The same as a PNG on white; `estimates`, the latency-aware floors, are drawn as bars."""
    with mpl.rc_context(STYLE):
        x, y = _floor_limits([*points, *estimates])
        figure = _floor_figure(x, y, device)
        layers = [_Layer("latency", points, POINT)]
        if estimates:
            layers.insert(0, _Layer("least with launch and serial steps", estimates, TEXT, "_"))
        return _png(figure, layers, title)


def _floor_limits(points: Sequence[PlotPoint]) -> tuple[tuple[float, float], tuple[float, float]]:
    x = log_limits([p.x for p in points] or [1.0])
    y = log_limits([p.y for p in points] + [p.x for p in points] or [1.0])
    return x, y


def _floor_figure(x: tuple[float, float], y: tuple[float, float], device: str) -> Figure:
    figure, axes = log_figure(x, y)
    for share, style in ((1.0, "-"), (0.5, "--"), (0.1, ":")):
        axes.plot(x, [v / share for v in x], color=GREY, linewidth=1, linestyle=style)
        name = "speed of light" if share == 1 else f"{share:.0%} of it"
        at = 1.1 * max(x[0], y[0] * share)
        if at < min(x[1], y[1] * share):
            _along(axes, name, (at, at / share), (x, y))
    axes.set_xlabel(f"floor on {device}: compulsory bytes and operations at nominal rates (µs)")
    axes.set_ylabel("latency (µs)")
    return figure


# --- roofline ---------------------------------------------------------------------------------


def roofline_frame(points: Sequence[PlotPoint], roof: Roof) -> Frame:
    """Axes with a device's roof that hold all of the points."""
    x, y = _roofline_limits(points, roof)
    with mpl.rc_context(STYLE):
        figure = _roofline_figure(x, y, roof)
        return Frame(svg_text(figure, f"Roofline of {roof.device}"), x, y)


def roofline_png(
    points: Sequence[PlotPoint],
    roof: Roof,
    others: Sequence[PlotPoint] = (),
    title: str = "",
    name: str = "best",
) -> bytes:
    """The same as a PNG on white, with the workloads of `others` in grey."""
    with mpl.rc_context(STYLE):
        figure = _roofline_figure(*_roofline_limits([*points, *others], roof), roof)
        layers = [_Layer(name, points, POINT)]
        if others:
            layers.insert(0, _Layer("other candidates", others, GREY))
        return _png(figure, layers, title)


def _roofline_limits(
    points: Sequence[PlotPoint], roof: Roof
) -> tuple[tuple[float, float], tuple[float, float]]:
    peak = max(roof.peaks.values(), default=1e12)
    ridge = peak / roof.bytes_per_s
    x = log_limits([p.x for p in points if p.x > 0] + [ridge])
    y = log_limits([p.y for p in points if p.y > 0] + [peak])
    return x, y


def _roofline_figure(x: tuple[float, float], y: tuple[float, float], roof: Roof) -> Figure:
    figure, axes = log_figure(x, y)
    top = max(roof.peaks.values(), default=y[1])
    ridge = top / roof.bytes_per_s
    axes.plot([x[0], ridge], [x[0] * roof.bytes_per_s, top], color=GREY, linewidth=1.2)
    for name, peak in roof.peaks.items():
        start = max(x[0], peak / roof.bytes_per_s)
        axes.plot([start, x[1]], [peak, peak], color=GREY, linewidth=1)
        axes.annotate(f"{name} {peak / 1e12:.4g} TFLOP/s", (x[1] / 1.05, peak), **SMALL, color=GREY)
    start = 1.1 * max(x[0], y[0] / roof.bytes_per_s)
    if start < ridge:
        words = f"memory {roof.bytes_per_s / 1e12:.3g} TB/s"
        _along(axes, words, (start, start * roof.bytes_per_s), (x, y))
    axes.set_xlabel("FLOP per byte of compulsory traffic")
    axes.set_ylabel(f"FLOP per second on {roof.device}")
    return figure


# --- drawing ----------------------------------------------------------------------------------


def log_figure(x: tuple[float, float] | None, y: tuple[float, float]) -> tuple[Figure, Any]:
    """A figure with logarithmic axes; the one of x is linear and without limits when None."""
    figure = Figure(figsize=_SIZE)
    axes = figure.add_axes(BOX)
    axes.set_ylim(y)
    log_side(axes, axes.yaxis, y)
    if x:
        axes.set_xlim(x)
        log_side(axes, axes.xaxis, x)
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    return figure, axes


def log_side(axes: Any, side: Any, limits: tuple[float, float]) -> None:
    """Makes one side of axes logarithmic, with as many ticks in words as fit its limits."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if side.axis_name == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    decades = abs(math.log10(limits[1] / limits[0]))
    subs = (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
    subs = (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9) if decades < 0.9 else subs
    side.set_major_locator(LogLocator(base=10, subs=subs))
    side.set_major_formatter(FuncFormatter(lambda value, _: tick_words(value)))
    side.set_minor_formatter(NullFormatter())


def _along(axes: Any, words: str, at: tuple[float, float], limits: Sequence[Any]) -> None:
    """Writes above a line of slope one on logarithmic axes, from `at` on."""
    across, up = (_SIZE[i] * BOX[2 + i] / math.log10(limits[i][1] / limits[i][0]) for i in (0, 1))
    turned = {"rotation": math.degrees(math.atan2(up, across)), "rotation_mode": "anchor"}
    style = SMALL | turned | {"ha": "left", "color": GREY}
    axes.annotate(words, at, xytext=(0, 2), textcoords="offset points", **style)


def tick_words(value: float) -> str:
    """A figure at an axis."""
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):g} {unit}"
    return f"{value:g}"


def svg_text(figure: Figure, label: str) -> str:
    """The figure without what a browser need not know, its colours replaced by the page's."""
    out = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = text[text.index("<svg") :].strip()
    head = f'<svg class="plot" role="img" aria-label="{escape(label)}" viewBox='
    text = re.sub(r"<svg[^>]*?viewBox=", head, text, count=1)
    text = re.sub(r'(viewBox="[^"]*")[^>]*>', rf"\1 {_NAMESPACES}>", text, count=1)
    for colour, variable in _THEME.items():
        text = text.replace(colour, variable)
    return re.sub(r"\n\s*", "\n", text)


@dataclass(frozen=True)
class _Layer:
    """Points of one kind."""

    name: str
    points: Sequence[PlotPoint]
    colour: str
    marker: str = "o"


def _png(figure: Figure, layers: Sequence[_Layer], title: str) -> bytes:
    """The figure with its points, later layers above earlier ones; a legend where there are two."""
    axes = figure.axes[0]
    for layer in layers:
        axes.plot(
            [p.x for p in layer.points],
            [p.y for p in layer.points],
            layer.marker,
            color=layer.colour,
            markersize=10 if layer.marker == "_" else 6,
            markeredgecolor="white" if layer.marker == "o" else layer.colour,
            markeredgewidth=0.6 if layer.marker == "o" else 1.6,
            label=layer.name,
        )
    if title:
        axes.set_title(title, loc="left", fontsize=9)
    if len(layers) > 1:
        figure.legend(loc="upper right", fontsize=8, frameon=False, ncols=len(layers))
    return png_bytes(figure)


def png_bytes(figure: Figure) -> bytes:
    """The figure on white, as a PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120, facecolor="white")
    return out.getvalue()
