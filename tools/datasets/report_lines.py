"""A dataset's ranking as lines of text: totals, authors, and the fastest of each definition."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from ..text import counted, one_line
from .ranking import LEVELS, AuthorRank, BestTrace, Ranking, SolutionRank, TraceRow, TraceSummary

NONE = "–"


def summary_lines(ranking: Ranking) -> Iterator[str]:
    """Totals over all traces, and the authors, the best first."""
    yield from total_lines(ranking.summary)
    if ranking.authors:
        yield ""
        yield from table(author_table(ranking.authors))
        yield ""
        yield score_note()


def total_lines(found: TraceSummary) -> Iterator[str]:
    """How much there is, and between which times."""
    counts = {"definition": found.definitions, "workload": found.workloads}
    counts |= {"solution": found.solutions, "trace": found.total}
    yield ", ".join(counted(n, word) for word, n in counts.items()) + "."
    said = ", ".join(f"{n} {status}" for status, n in sorted(found.statuses.items()))
    yield f"Traces: {said or 'none'}."
    if found.latencies_ms:
        least, most = min(found.latencies_ms), max(found.latencies_ms)
        mean = statistics.fmean(found.latencies_ms)
        yield f"Latency of passes: {_ms(least)} to {_ms(most)}, mean {_ms(mean)}."


def score_note() -> str:
    """What the speed-ups of solutions and authors are."""
    return (
        "speed-up: mean over workloads against the lowest latency of the baseline, the one "
        "solution whose author is 'baseline', or else of the reference; of an author, mean over "
        "definitions of the best solution. A solution with a failed trace counts 0. fast_p: share "
        "of workloads on which it is more than p times as fast."
    )


def best_lines(ranking: Ranking) -> Iterator[str]:
    """For each definition its solutions, the best first, and the fastest on each workload."""
    sections = definition_tables(ranking)
    if not sections:
        yield "There are no traces of solutions."
    for name, (solutions, fastest) in sections.items():
        yield f"{name}:"
        yield from (f"  {line}" for line in table(solutions))
        if len(fastest) > 1:
            yield ""
            yield from (f"  {line}" for line in table(fastest))
        yield ""


def trace_lines(ranking: Ranking) -> Iterator[str]:
    """Totals, every trace, and of each definition the pass with the largest speed-up."""
    yield from total_lines(ranking.summary)
    if not ranking.traces:
        return
    yield ""
    yield from table([_TRACE_HEADER, *(_trace_row(row) for row in ranking.traces)])
    yield ""
    yield "Best over the reference:"
    passed = [row for row in ranking.traces if row.speedup is not None]
    for name in dict.fromkeys(row.definition for row in ranking.traces):
        own = [row for row in passed if row.definition == name]
        best = max(own, key=lambda row: row.speedup or 0.0, default=None)
        words = f"{one_line(best.solution, 60)}, {speedup_words(best.speedup)}" if best else NONE
        yield f"  {name}: {words}"


def author_table(authors: Sequence[AuthorRank]) -> list[list[str]]:
    """A header and a row for each author; nothing without authors."""
    return [_AUTHOR_HEADER, *(_author_row(author) for author in authors)] if authors else []


def definition_tables(ranking: Ranking) -> dict[str, tuple[list[list[str]], list[list[str]]]]:
    """By definition, the table of its solutions and that of the fastest on each workload."""
    found: dict[str, tuple[list[list[str]], list[list[str]]]] = {}
    for rank in ranking.solutions:
        tables = found.setdefault(rank.definition, ([_SOLUTION_HEADER], [_BEST_HEADER]))
        tables[0].append(_solution_row(rank))
    failing = {(r.definition, r.solution) for r in ranking.solutions if r.failed}
    for best in ranking.best:
        elsewhere = (best.definition, best.solution) in failing
        found[best.definition][1].append(_best_row(best, elsewhere=elsewhere))
    return found


_AUTHOR_HEADER = [
    *("author", "speed-up", "definitions", "best of all", "passed"),
    *(f"fast_{level:g}" for level in LEVELS),
]
_SOLUTION_HEADER = ["solution", "author", "speed-up", "mean latency", "traces"]
_TRACE_HEADER = [
    *("definition", "workload", "solution", "status", "over reference", "latency"),
    "absolute error",
]
_BEST_HEADER = [
    *("workload", "sizes", "fastest", "latency", "over reference"),
    "errors: absolute, relative",
]


def _author_row(author: AuthorRank) -> list[str]:
    rate = author.success_rate
    total = author.passed + author.failed
    return [
        one_line(author.author, 40),
        speedup_words(author.score),
        str(author.definitions),
        str(author.wins),
        NONE if rate is None else f"{100 * rate:.0f} % of {total}",
        *(f"{100 * author.faster_than(level):.0f} %" for level in LEVELS),
    ]


def _solution_row(found: SolutionRank) -> list[str]:
    mean = found.mean_latency_ms
    statuses = ", ".join(f"{n} {status}" for status, n in sorted(found.statuses.items()))
    return [
        one_line(found.solution, 60),
        one_line(found.author, 40),
        speedup_words(found.score),
        NONE if mean is None else _ms(mean),
        statuses,
    ]


def _trace_row(row: TraceRow) -> list[str]:
    error = row.max_absolute_error
    return [
        one_line(row.definition, 60),
        one_line(row.workload, 8).rstrip("…"),
        one_line(row.solution, 60),
        str(row.status),
        speedup_words(row.speedup),
        NONE if row.latency_ms is None else _ms(row.latency_ms),
        NONE if error is None else f"{error:.2g}",
    ]


def _best_row(best: BestTrace, *, elsewhere: bool) -> list[str]:
    sizes = ", ".join(f"{name}={size}" for name, size in best.axes.items())
    return [
        one_line(best.workload, 8).rstrip("…"),
        one_line(sizes, 40),
        one_line(best.solution, 60) + (" (fails elsewhere)" if elsewhere else ""),
        _ms(best.latency_ms),
        speedup_words(best.speedup),
        f"{best.max_absolute_error:.2g}, {best.max_relative_error:.2g}",
    ]


def speedup_words(value: float | None) -> str:
    """A ratio as 1.25x; a dash for none."""
    return NONE if value is None else f"{value:.3g}x"


def _ms(value: float) -> str:
    return f"{value * 1000:.4g} us" if value < 1 else f"{value:.4g} ms"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def as_json(ranking: Ranking) -> Mapping[str, object]:
    """The ranking as plain values, for JSON."""
    found = ranking.summary
    return {
        "summary": {
            "definitions": found.definitions,
            "workloads": found.workloads,
            "solutions": found.solutions,
            "total": found.total,
            "passed": found.passed,
            "failed": found.total - found.passed,
            "statuses": {str(k): n for k, n in found.statuses.items()},
            "min_latency_ms": min(found.latencies_ms, default=None),
            "max_latency_ms": max(found.latencies_ms, default=None),
            "avg_latency_ms": statistics.fmean(found.latencies_ms) if found.latencies_ms else None,
        },
        "authors": [
            {
                **vars(a),
                "success_rate": a.success_rate,
                "fast": {f"{p:g}": a.faster_than(p) for p in LEVELS},
            }
            for a in ranking.authors
        ],
        "solutions": [{**vars(s), "mean_latency_ms": s.mean_latency_ms} for s in ranking.solutions],
        "best": [
            {
                **vars(b),
                "max_absolute_error": finite(b.max_absolute_error),
                "max_relative_error": finite(b.max_relative_error),
            }
            for b in ranking.best
        ],
        "traces": [
            {
                **vars(row),
                "max_absolute_error": None
                if row.max_absolute_error is None
                else finite(row.max_absolute_error),
            }
            for row in ranking.traces
        ],
    }


def finite(value: float) -> float | None:
    """The number, or None where JSON has none for it."""
    return value if math.isfinite(value) else None
