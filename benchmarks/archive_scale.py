"""How the archive behaves as it grows: archive, search, select_parent and report, timed.

    python benchmarks/archive_scale.py                # 100, 1,000 and 10,000 candidates
    python benchmarks/archive_scale.py --huge         # and 100,000

Builds the archives of `made_up_archive`, then measures through the same functions that the tools
call. Prints one table with the growth from size to size, and says which promise is kept: archive,
search and select_parent within 100, 200 and 200 ms at 10,000 candidates;
a report of 1,000 within 10 s.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from made_up_archive import OPERATORS, Made, build, definition, evaluation, solution, workloads

from kernel_harness.tools.archive.report.website import write_site
from kernel_harness.tools.archive.retrieval.filters import SearchRequest
from kernel_harness.tools.archive.retrieval.query import search
from kernel_harness.tools.archive.search.advice import Budget, advice_on
from kernel_harness.tools.archive.search.parent_selection import select_parent
from kernel_harness.tools.archive.search.policies import POLICIES
from kernel_harness.tools.archive.search.role_context import get_context
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.signing.keyring import Keyring

PROMISES = {"archive": 0.1, "search": 0.2, "select_parent": 0.2}


def timed(action: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median and worst of some repeats, in seconds."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), max(seconds)


def measure(archive: Archive, count: int) -> dict[str, tuple[float, float]]:
    """Times every operation on an archive of `count` candidates."""
    rows: dict[str, tuple[float, float]] = {}
    rows["rebuild index"] = timed(archive.synced.rebuild, 1)
    newest = list(archive.history(definition(OPERATORS[0]).name))[-1]
    numbers = iter(range(count, 10 * count + 1_000))
    rng = random.Random(7)

    def add() -> None:
        item = Made(next(numbers), OPERATORS[0], (), rng.uniform(5, 20))
        found = solution(item, rng)
        archive.add(
            solution=found,
            evaluation=evaluation(item, found, rng),
            definition=definition(OPERATORS[0]),
            workloads=workloads(),
            hypothesis="One more.",
            parents=[newest.candidate_id],
            tags=["swizzle"],
        )
        advice_on(archive, newest.definition, Budget())

    rows["archive"] = timed(add, 20)
    name = definition(OPERATORS[0]).name
    questions = [
        SearchRequest(definition=name),
        SearchRequest(definition=name, query="shared memory traffic"),
        SearchRequest(query="two waves", status="failed"),
        SearchRequest(definition=name, technique="split-k", regime="small"),
        SearchRequest(error="illegal memory access"),
    ]
    asked = [timed(lambda q=q: search(archive, q), 5) for q in questions]
    rows["search"] = (statistics.median(m for m, _ in asked), max(w for _, w in asked))
    chosen = [
        timed(lambda p=policy: select_parent(archive, name, p, seed=3), 5) for policy in POLICIES
    ]
    rows["select_parent"] = (statistics.median(m for m, _ in chosen), max(w for _, w in chosen))
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
    figures: dict[int, dict[str, tuple[float, float]]] = {}
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="archive-scale-") as folder:
            root = Path(folder) / "archive"
            archive = Archive(root, Keyring(Path(folder) / "signing_key", root))
            seconds = build(archive, count)
            figures[count] = {"build (fast-import)": (seconds, seconds), **measure(archive, count)}
            archive.close()
            print(f"{count}: built in {seconds:.1f} s", file=sys.stderr)  # noqa: T201
    print(table(figures))  # noqa: T201
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0 if kept(figures) else 1


def table(figures: dict[int, dict[str, tuple[float, float]]]) -> str:
    """Median (worst) in milliseconds per size, and the growth of the median."""
    sizes = list(figures)
    names = list(dict.fromkeys(name for rows in figures.values() for name in rows))
    lines = [
        "| milliseconds, median (worst) | " + " | ".join(f"{s:,}" for s in sizes) + " | growth |",
        "|---|" + "---:|" * (len(sizes) + 1),
    ]
    for name in names:
        cells, known = [], []
        for size in sizes:
            row = figures[size].get(name)
            cells.append(f"{row[0] * 1e3:,.1f} ({row[1] * 1e3:,.1f})" if row else "")
            known += [row[0]] if row else []
        growth = " ".join(f"x{b / a:.1f}" for a, b in zip(known, known[1:], strict=False))
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {growth} |")
    return "\n".join(lines)


def kept(figures: dict[int, dict[str, tuple[float, float]]]) -> bool:
    """Whether the medians keep what is promised up to 10,000 candidates."""
    fine = True
    for size, rows in figures.items():
        for name, limit in PROMISES.items():
            if size <= 10_000 and rows[name][0] > limit:
                print(f"{name} at {size:,}: over {limit * 1e3:.0f} ms")  # noqa: T201
                fine = False
        if "report" in rows and rows["report"][0] > 10:
            print(f"report of {size:,}: over 10 s")  # noqa: T201
            fine = False
    return fine


if __name__ == "__main__":
    sys.exit(main())
