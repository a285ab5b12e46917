"""How the archive behaves as it grows: archive, search, select_parent and report, timed.

    python benchmarks/archive_scale.py                # 100, 1,000 and 10,000 candidates
    python benchmarks/archive_scale.py --huge         # and 100,000

Builds the archives of `made_up_archive`, from 10,000 on those of `large_archive` that also hold as
many trials that nobody archived; then measures through the same functions that the tools call.
Prints one table with the growth from size to size, and says which promise is kept: archive, search
and select_parent within 30, 20 and 60 ms at 10,000 candidates, 100, 150 and 300 ms at 100,000; a
report of 1,000 within 10 s. The second table is processor time, git's included: it shows what a
machine that does other work hides.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from large_archive import build_large
from made_up_archive import (
    OPERATORS,
    WORKLOADS,
    Made,
    build,
    definition,
    evaluation,
    solution,
    workloads,
)

from kernel_harness.tools.archive.report.website import write_site
from kernel_harness.tools.archive.retrieval.filters import SearchRequest
from kernel_harness.tools.archive.retrieval.query import search
from kernel_harness.tools.archive.search.advice import Budget, advice_on
from kernel_harness.tools.archive.search.parent_selection import select_parent
from kernel_harness.tools.archive.search.policies import POLICIES
from kernel_harness.tools.archive.search.role_context import get_context
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.signing.keyring import Keyring

PROMISES = {
    10_000: {"archive": 0.03, "search": 0.02, "select_parent": 0.06},
    100_000: {"archive": 0.1, "search": 0.15, "select_parent": 0.3},
}
"""Seconds up to a size."""
LARGE = 10_000
"""From this size on an archive is made of copies, or it would take hours."""
REPEATS = 20


class Figure(NamedTuple):
    """Seconds that an operation takes."""

    median: float
    worst: float
    processor: float


def processor_time() -> float:
    """Seconds of processor time of this process and of the git that it ran."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def timed(action: Callable[[], object], repeats: int) -> Figure:
    """Median and worst of some repeats and their mean processor time, in seconds."""
    seconds: list[float] = []
    spent = processor_time()
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    spent = (processor_time() - spent) / repeats
    return Figure(statistics.median(seconds), max(seconds), spent)


def together(figures: list[Figure]) -> Figure:
    """The median of several actions' medians, the worst of all, the median processor time."""
    return Figure(
        statistics.median(f.median for f in figures),
        max(f.worst for f in figures),
        statistics.median(f.processor for f in figures),
    )


def measure(archive: Archive, count: int) -> dict[str, Figure]:
    """Times every operation on an archive of `count` candidates."""
    rows: dict[str, Figure] = {}
    if count < LARGE:
        rows["rebuild index"] = timed(archive.synced.rebuild, 1)
    archive.synced.current()
    name = definition(OPERATORS[0]).name
    newest = archive.history(name)[-1]
    rng = random.Random(7)
    judged = []
    for number in range(3 * count, 3 * count + REPEATS):
        found = solution(Made(number, OPERATORS[0], (), None), rng)
        record = evaluation(Made(number, OPERATORS[0], (), rng.uniform(5, 20)), found, rng)
        judged.append((found, archive.keys.signed(record)))

    def add() -> None:
        found, record = judged.pop()
        archive.add(
            solution=found,
            evaluation=record,
            definition=definition(OPERATORS[0]),
            workloads=workloads(),
            hypothesis="One more.",
            parents=[newest.candidate_id],
            tags=["swizzle"],
        )
        advice_on(archive, newest.definition, Budget())

    def keep() -> None:
        judged.append(judged.pop(0))
        found, record = judged[-1]
        start = [(newest.candidate_id, newest.commit)]
        archive.trials.write(found, record, definition(OPERATORS[0]), start, WORKLOADS)

    def ask(request: SearchRequest) -> None:
        search(archive, request)
        archive.trials.table.count_open(request.definition)

    rows["commit a trial"] = timed(keep, REPEATS)
    rows["archive"] = timed(add, REPEATS)
    questions = [
        SearchRequest(definition=name),
        SearchRequest(definition=name, query="shared memory traffic"),
        SearchRequest(query="two waves", status="failed"),
        SearchRequest(definition=name, technique="split-k", regime="small"),
        SearchRequest(error="illegal memory access"),
    ]
    # What each technique did is derived when it is first asked for.
    rows["first search of an index"] = timed(lambda: ask(questions[0]), 1)
    rows["search"] = together([timed(lambda q=q: ask(q), 7) for q in questions])
    rows["select_parent"] = together(
        [timed(lambda p=policy: select_parent(archive, name, p, seed=3), 5) for policy in POLICIES]
    )
    rows["get_context plan"] = timed(lambda: get_context(archive, "plan", newest.candidate_id), 3)
    if count == 1_000:
        with tempfile.TemporaryDirectory() as folder:
            rows["report"] = timed(lambda: write_site(archive, Path(folder)), 1)
    return rows


def main() -> int:
    """Builds, measures and prints; fails when a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--huge", action="store_true", help="also 100,000 candidates")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    arguments = parser.parse_args()
    sizes = [*arguments.sizes, *([100_000] if arguments.huge else [])]
    figures: dict[int, dict[str, Figure]] = {}
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="archive-scale-") as folder:
            root = Path(folder) / "archive"
            archive = Archive(root, Keyring(Path(folder) / "signing_key", root))
            seconds = (build_large if count >= LARGE else build)(archive, count)
            figures[count] = measure(archive, count)
            archive.close()
            print(f"{count}: built in {seconds:.1f} s", file=sys.stderr)  # noqa: T201
    for title, shown in (
        ("milliseconds, median (worst)", lambda f: f"{f.median * 1e3:,.1f} ({f.worst * 1e3:,.1f})"),
        ("of processor time, mean", lambda f: f"{f.processor * 1e3:,.0f}"),
    ):
        print(table(figures, title, shown))  # noqa: T201
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")  # noqa: T201
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0 if kept(figures) else 1


def table(figures: dict[int, dict[str, Figure]], title: str, shown: Callable[[Figure], str]) -> str:
    """The figures of each operation per size, and the growth of the median."""
    sizes = list(figures)
    names = list(dict.fromkeys(name for rows in figures.values() for name in rows))
    lines = [
        f"| {title} | " + " | ".join(f"{s:,}" for s in sizes) + " | growth |",
        "|---|" + "---:|" * (len(sizes) + 1),
    ]
    for name in names:
        found = [figures[size].get(name) for size in sizes]
        cells = [shown(figure) if figure else "" for figure in found]
        known = [figure.median for figure in found if figure]
        growth = " ".join(f"x{b / a:.1f}" for a, b in zip(known, known[1:], strict=False))
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {growth} |")
    return "\n".join(lines)


def kept(figures: dict[int, dict[str, Figure]]) -> bool:
    """Whether the medians keep what is promised."""
    fine = True
    for size, rows in figures.items():
        promised = next((PROMISES[most] for most in sorted(PROMISES) if size <= most), {})
        for name, limit in promised.items():
            if rows[name].median > limit:
                print(f"{name} at {size:,}: over {limit * 1e3:.0f} ms")  # noqa: T201
                fine = False
        if "report" in rows and rows["report"].median > 10:
            print(f"report of {size:,}: over 10 s")  # noqa: T201
            fine = False
    return fine


if __name__ == "__main__":
    sys.exit(main())
