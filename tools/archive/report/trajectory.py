"""The course of a search: every candidate's latency over trials, GPU time or wall time.

Chooses what stands where and draws it, as SVG for pages and PNG for tools. One curve has two
scales: what is left is latency, what is right is the speed-up over the reference or the baseline.
A search is long flat stretches between few steps, so the best and the greatest steps are named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from ...errors import RequestError
from ...text import one_line
from ..promotion.events import events
from ..store.entry import CandidateStatus, Node, gpu_label, number
from . import plots
from .board_rows import others_on
from .page_data import boards

if TYPE_CHECKING:
    from ...workloads.operators import Operator
    from ..store.archive import Archive

SECONDS_AN_HOUR = 3600.0
STEPS_NAMED = 3
LEAST_STEP = 1.05
"""Ratio of a step that is worth a name."""
NAME_CHARACTERS = 18
RIGHT_WORDS, STEP_WORDS = 0.08, 0.05
"""Shares of the picture: of its width for the words on the right, of its height for the steps."""


class Over(StrEnum):
    """What the candidates of a search are drawn over."""

    CANDIDATES = "candidates"
    GPU_SECONDS = "gpu_seconds"
    WALL_TIME = "wall_time"


class Scale(StrEnum):
    """What is drawn upwards."""

    LATENCY = "latency"
    SPEEDUP = "speedup"


X_WORDS = {
    Over.CANDIDATES: "candidate, in order of evaluation (ticks below: failed)",
    Over.GPU_SECONDS: "seconds of evaluations on the GPU, so far (ticks below: failed)",
    Over.WALL_TIME: "hours since the first evaluation began (ticks below: failed)",
}


@dataclass(frozen=True)
class TrajectoryPoint:
    """One candidate at its place; `latency_us` is None when it has none."""

    position: float
    latency_us: float | None
    promoted: bool = False
    failed: bool = False
    sealed: bool = False
    name: str = ""


@dataclass(frozen=True)
class Against:
    """The latency that speed-ups are over, with its name."""

    latency_us: float
    name: str = "baseline"


def trajectory_points(
    nodes: Sequence[Node], device: str, over: Over, promoted: Collection[str] = ()
) -> list[TrajectoryPoint]:
    """The candidates of one operator as points, oldest first.

    Args:
        device: whose latencies are drawn; candidates of others are places without a latency.
        over: what places them; on the GPU's time only trials on the device count.
        promoted: ids of those that ever were.
    """
    first = min((node.at for node in nodes), default=0)
    spent = 0.0
    points = []
    for count, node in enumerate(nodes, 1):
        here = node.hardware == device
        spent += node.seconds if here else 0.0
        place = {
            Over.CANDIDATES: float(count),
            Over.GPU_SECONDS: spent,
            Over.WALL_TIME: (node.at + node.seconds - first) / SECONDS_AN_HOUR,
        }[over]
        if over is Over.GPU_SECONDS and not here:
            continue
        points.append(
            TrajectoryPoint(
                place,
                node.latency_us if here else None,
                node.candidate_id in promoted,
                node.outcome is CandidateStatus.FAILED,
                node.sealed,
                node.name,
            )
        )
    return points


def trajectory_chart(
    archive: Archive,
    definition: str,
    gpu: str | None = None,
    over: Over = Over.CANDIDATES,
    scale: Scale = Scale.LATENCY,
    operator: Operator | None = None,
) -> bytes:
    """The course of an operator's search on one device, as a PNG.

    Args:
        gpu: device as in refs, e.g. 'H200'; the one timed most recently when None.
        operator: names what others wrote, where it is known.

    Raises:
        RequestError: when nothing was timed there, or speed-ups would be over nothing.
    """
    label = gpu_label(gpu, operator.policy.objective) if gpu and operator else gpu
    best = archive.require_best(definition, label)
    nodes = list(archive.iter(definition))
    device = best.hardware
    (board,) = boards([node for node in nodes if node.hardware == device], {})
    others = others_on(archive, board, operator)
    first = next(iter(others.programs()), None)
    if first is None and scale is Scale.SPEEDUP:
        raise RequestError(
            f"On {device} neither the reference nor a baseline of {definition} was timed",
            remedy="Draw the latency, or evaluate with compare_to='reference'.",
        )
    against = Against(first.latency_us, first.name) if first else None
    ever = {e.candidate_id for e in events(archive, definition) if e.kind == "promoted"}
    points = trajectory_points(nodes, device, over, ever)
    return trajectory_png(points, against, f"{definition} on {device}"[:90], over, scale)


def trajectory_svg(
    points: Sequence[TrajectoryPoint],
    against: Against | None = None,
    device: str = "",
    over: Over = Over.CANDIDATES,
) -> str:
    """All candidates grey, the running best, what is compared with as a line, promotions marked."""
    with mpl.rc_context(plots.STYLE):
        figure = _figure(points, against, over, Scale.LATENCY)
        words = over.replace("_", " ")
        return plots.svg_text(figure, f"Latency of candidates over {words} on {device}")


def trajectory_png(
    points: Sequence[TrajectoryPoint],
    against: Against | None = None,
    title: str = "",
    over: Over = Over.CANDIDATES,
    scale: Scale = Scale.LATENCY,
) -> bytes:
    """The same as a PNG on white, upwards in latency or in speed-up."""
    with mpl.rc_context(plots.STYLE):
        figure = _figure(points, against, over, scale)
        figure.suptitle(title, x=0.01, ha="left", fontsize=9)
        return plots.png_bytes(figure)


def running_best(timed: Sequence[TrajectoryPoint]) -> list[tuple[TrajectoryPoint, float]]:
    """The points that were the best when they came: the first sealed one ends all claimed ones."""
    found: list[tuple[TrajectoryPoint, float]] = []
    sealed = False
    for point in timed:
        latency = point.latency_us
        if latency is None:
            continue
        first_sealed = point.sealed and not sealed
        if not found or first_sealed or (point.sealed == sealed and latency < found[-1][1]):
            found.append((point, latency))
            sealed = sealed or point.sealed
    return found


def greatest_steps(
    best: Sequence[tuple[TrajectoryPoint, float]],
) -> list[tuple[TrajectoryPoint, float]]:
    """Those of the best so far that gained most over the one before, in their order."""
    gains = [
        (before / after, number)
        for number, ((old, before), (new, after)) in enumerate(pairwise(best), 1)
        if old.sealed == new.sealed and before / after >= LEAST_STEP
    ]
    return [best[number] for _, number in sorted(sorted(gains)[-STEPS_NAMED:], key=itemgetter(1))]


def _figure(
    points: Sequence[TrajectoryPoint], against: Against | None, over: Over, scale: Scale
) -> Figure:
    base = against.latency_us if against else None
    upwards = scale is Scale.SPEEDUP and base is not None

    def height(latency_us: float) -> float:
        return base / latency_us if upwards and base else latency_us

    ordered = sorted(points, key=lambda p: p.position)
    timed = [(p, p.latency_us) for p in ordered if p.latency_us]
    best = running_best(ordered)
    heights = [height(latency) for _, latency in timed]
    y = plots.log_limits([*heights, *([height(base)] if base else [])] or [1.0], 1.15)
    figure, axes = plots.log_figure(None, y)
    left, bottom, width, tall = plots.BOX
    axes.set_position((left, bottom, width - (RIGHT_WORDS if against else 0), tall - STEP_WORDS))
    end = max((p.position for p in ordered), default=1.0)
    end = end + 1 if over is Over.CANDIDATES else end * 1.02 or 1.0
    axes.set_xlim(0, end)
    style = {"color": plots.GREY, "markersize": 3.5, "alpha": 0.7}
    axes.plot([p.position for p, _ in timed], heights, "o", **style)
    failed = [p.position for p in ordered if p.failed]
    axes.plot(failed, [y[0] * 1.02] * len(failed), "|", color=plots.GREY, markersize=7)
    xs, ys = [p.position for p, _ in best], [height(latency) for _, latency in best]
    if best:
        line = {"color": plots.POINT, "linewidth": 1.6}
        axes.step([*xs, end], [*ys, ys[-1]], where="post", **line)
        _name_steps(axes, best, height, base)
    if against and base:
        axes.axhline(height(base), color=plots.TEXT, linewidth=0.9, linestyle="--")
        words = f"- - {against.name} {number(base)} µs"
        axes.annotate(words, (1, 1.02), xycoords="axes fraction", **plots.SMALL)
        _right_scale(axes, base, y, upwards)
    marked = [(p.position, height(latency)) for p, latency in timed if p.promoted]
    starred = {"color": plots.PROMOTED, "markersize": 12}
    axes.plot([x for x, _ in marked], [v for _, v in marked], "*", **starred)
    axes.set_xlabel(X_WORDS[over])
    axes.set_ylabel("speed-up" if upwards else "mean latency (µs)")
    return figure


def _name_steps(
    axes: Any,
    best: Sequence[tuple[TrajectoryPoint, float]],
    height: Callable[[float], float],
    base_us: float | None,
) -> None:
    """Numbers the greatest steps, and says above the axes what they and the best are."""
    style = plots.SMALL | {"ha": "left", "color": plots.POINT}
    said: list[str] = []
    for count, (point, latency) in enumerate(greatest_steps(best), 1):
        beside = {"xytext": (4, 3), "textcoords": "offset points"}
        axes.annotate(str(count), (point.position, height(latency)), **beside, **style)
        said.append(f"{count} {_words_of(point, latency)}")
    point, latency = best[-1]
    ratio = f", {number(base_us / latency)}×" if base_us else ""
    rows = (f"best {_words_of(point, latency)}{ratio}", "   ".join(said))
    for row, words in enumerate(rows):
        axes.annotate(words, (0, 1.02 + 0.05 * row), xycoords="axes fraction", **style)


def _words_of(point: TrajectoryPoint, latency_us: float) -> str:
    return f"{one_line(point.name, NAME_CHARACTERS)} {number(latency_us)} µs".strip()


def _right_scale(axes: Any, base_us: float, y: tuple[float, float], upwards: bool) -> None:
    """The other scale: each is the compared latency over the other one, so it runs downwards."""
    right = axes.twinx()
    plots.log_side(right, right.yaxis, (base_us / y[0], base_us / y[1]))
    right.set_ylim(base_us / y[0], base_us / y[1])
    right.set_ylabel("mean latency (µs)" if upwards else "speed-up", labelpad=9)
    right.spines["right"].set_visible(True)
