"""A suite's score as lines of text: a row for each level, and what the rows leave out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .fast_p import SUSPICIOUS, FastPScore, LevelScore
from .intervals import Share
from .outcomes import Pick, TaskOutcome

MOST_NAMED = 5


def score_lines(score: FastPScore, title: str) -> list[str]:
    """The table of a score, and below it everything that a reader must know of it."""
    tasks = score.outcomes.tasks
    judged = [task for task in tasks if task.judged]
    on = f" on {score.outcomes.device}" if score.outcomes.device else ""
    said = [f"{title}: {len(judged)} of {len(tasks)} tasks have a verdict{on}.", ""]
    said += _table(
        [_header(score), *(_row(level, score) for level in (*score.levels, score.total))]
    )
    return [*said, "", *_notes(score)]


def _header(score: FastPScore) -> list[str]:
    timed = [f"fast_{p:g}" for p in score.total.fast if p] + ["geometric mean"]
    return ["level", "tasks", "compiled", "correct = fast_0", *(timed if score.timed else [])]


def _row(level: LevelScore, score: FastPScore) -> list[str]:
    name = "all" if level.level is None else str(level.level)
    cells = [name, f"{level.compiled.of} of {level.tasks}", _share(level.compiled)]
    cells.append(_share(level.correct))
    if score.timed:
        cells += [_share(level.fast.get(p)) for p in score.total.fast if p]
        cells.append(_mean(level))
    return cells


def _share(rate: Share | None) -> str:
    if rate is None or rate.share is None or rate.interval is None:
        return "–"
    low, high = rate.interval
    return f"{100 * rate.share:.1f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _mean(level: LevelScore) -> str:
    if level.geometric_mean is None:
        return "–"
    interval = level.mean_interval
    shown = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
    return f"{level.geometric_mean:.2f}x{shown}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _notes(score: FastPScore) -> Iterator[str]:
    tasks, outcomes = score.outcomes.tasks, score.outcomes
    right = [task for task in tasks if task.correct]
    untimed = [task for task in right if task.speedup is None]
    yield "In brackets: 95 % intervals, Wilson's of shares, a bootstrap's of means."
    if right and not score.timed:
        yield (
            "Nothing was timed beside the baseline here, so only rates are told: no fast_p, no "
            "speed-up. Times need an NVIDIA GPU."
        )
    elif untimed:
        yield f"No fast_p where a right candidate was not timed: {_named(untimed)}."
    several = [task for task in tasks if task.candidates > 1]
    if several:
        word = {Pick.BEST: "best", Pick.FIRST: "first", Pick.LAST: "last"}[score.pick]
        yield f"Of several candidates the {word} counts ({len(several)} tasks)."
    if lenient := [task for task in right if task.published_only]:
        yield (
            "Right by the published tolerance alone, and less exact than a trusted "
            f"implementation: {_named(lenient)}."
        )
    if claimed := [task for task in right if task.speedup is not None and not task.sealed]:
        yield f"Times that the candidate's own process took: {_named(claimed)}."
    yield from _without_kernels(right)
    if fast := [task for task in right if (task.speedup or 0.0) > SUSPICIOUS]:
        yield f"More than {SUSPICIOUS:g} times as fast, which asks for a look: {_named(fast)}."
    if smaller := [task for task in tasks if task.reduced_by > 1]:
        yield f"At reduced sizes, so comparable with nobody's score: {_named(smaller)}."
    if constant := [task for task in tasks if task.constant]:
        yield f"A constant is right, since no output depends on the inputs: {_named(constant)}."
    missing = [task for task in tasks if not task.judged]
    for status, count in Counter(task.status for task in missing).items():
        which = [task for task in missing if task.status is status]
        word = "not judged yet" if status is None else str(status)
        why = f" {which[0].reason}" if status is not None and which[0].reason else ""
        yield f"No verdict, {word}: {count} ({_named(which)}).{why}"
    if outcomes.elsewhere:
        yield f"Left out, verdicts of other devices: {outcomes.elsewhere}."
    if outcomes.stale:
        yield f"Left out, verdicts on another state of their task: {outcomes.stale}."


def _without_kernels(right: Sequence[TaskOutcome]) -> Iterator[str]:
    """Which right candidates launch the kernels of libraries alone."""
    for libraries in sorted({task.libraries for task in right if task.libraries}):
        tasks = [task for task in right if task.libraries == libraries]
        yield f"Launches {' and '.join(libraries)} only, no kernel of its own: {_named(tasks)}."


def _named(tasks: Sequence[TaskOutcome]) -> str:
    shown = ", ".join(task.task for task in tasks[:MOST_NAMED])
    left = len(tasks) - MOST_NAMED
    return f"{shown} and {left} more" if left > 0 else shown
