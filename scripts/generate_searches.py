"""Writes the guide's page on the searches from the operators' histories.

    python scripts/generate_searches.py [--kernels FOLDER] [--out docs]

A history is `kernels/<operator>/history.bundle`, an archive in one file. For each the page has the
latencies of all candidates in the order of their trials, the changes that made the best faster,
the peers that were judged beside them (candidates with the tag `peer`), and what failed or was
slower, with the lesson. Every figure is a record's.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from kernel_harness.tools.archive.promotion.events import events
from kernel_harness.tools.archive.report import plots
from kernel_harness.tools.archive.report.page_data import current_promotions
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.entry import CandidateStatus, Node, number
from kernel_harness.tools.archive.store.transfer import fetch
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
HISTORY = "history.bundle"
PAGE = "searches.md"
PEER = "peer"
HEAD = """<!-- Written by scripts/generate_searches.py from kernels/*/history.bundle. -->

# Searches

What was tried for the shipped operators, in the order of the trials: mean latency over an
operator's workloads in microseconds, estimated where only a sample was judged. The sources come
with `kernel-harness fetch kernels/<operator>/history.bundle`.
"""
COLOURS = {
    "currentColor": "#222428",
    "var(--line)": "#d5d8dd",
    "var(--muted)": "#8a8f98",
    "var(--accent)": "#2563eb",
    "var(--promoted)": "#c2410c",
}
WORDS = 400


def main() -> int:
    """Writes the page and its pictures; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--kernels", type=Path, default=ROOT / "kernels")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    choices = parser.parse_args()
    bundles = sorted(choices.kernels.glob(f"*/{HISTORY}"))
    if not bundles:
        sys.stderr.write(f"No {HISTORY} in a folder of {choices.kernels}: nothing was written.\n")
        return 1
    parts = [section for bundle in bundles for section in sections(bundle, choices.out)]
    if not parts:
        sys.stderr.write(
            "No history has a candidate that was timed and counts: nothing was written.\n"
        )
        return 1
    (choices.out / PAGE).write_text("\n".join([HEAD, *parts]), encoding="utf-8")
    sys.stdout.write(f"Wrote {choices.out / PAGE}\n")
    return 0


def sections(bundle: Path, out: Path) -> list[str]:
    """The page's part on each operator and device of a bundle; writes their pictures."""
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness.open(load_settings({"data_dir": folder}))
        try:
            if fetch(harness.archive, str(bundle)).unverified:
                sys.stderr.write(
                    f"{bundle}: candidates are signed by a key that is not trusted here, and are "
                    "left out. Accept it with `kernel-harness trust`, or name it in "
                    "KERNEL_HARNESS_TRUSTED_KEYS.\n"
                )
            return [
                section(harness.archive, bundle.parent.name, device, out)
                for device in devices(harness.archive, bundle.parent.name)
            ]
        finally:
            harness.archive.close()


def devices(archive: Archive, definition: str) -> list[str]:
    """The devices on which candidates of an operator were timed."""
    timed = (node for node in archive.iter(definition) if node.latency_us is not None)
    return sorted({node.hardware for node in timed})


def section(archive: Archive, definition: str, device: str, out: Path) -> str:
    """One operator's search on one device as Markdown; writes its picture."""
    nodes = [
        node
        for node in archive.iter(definition)
        if node.verified and (node.hardware == device or node.outcome is CandidateStatus.FAILED)
    ]
    tried = [node for node in nodes if PEER not in node.technique]
    peers = [node for node in nodes if PEER in node.technique]
    promoted = current_promotions(events(archive, definition)).get((definition, device))
    image = f"images/search-{definition}-{device}.svg"
    (out / image).parent.mkdir(parents=True, exist_ok=True)
    (out / image).write_text(picture(tried, baseline_us(archive, nodes), device, promoted))
    techniques = {name for node in tried for name in node.technique}
    failed = sum(node.outcome is CandidateStatus.FAILED for node in tried)
    return "\n".join(
        [
            f"## {definition} on {device}\n",
            f"{len(tried)} candidates, {failed} of them failed; {len(techniques)} techniques.\n",
            f"![Latency of candidates over time]({image})\n",
            "### What made it faster\n",
            table(("candidate", "mean µs", "hypothesis", "techniques"), jumps(tried)),
            "### Peers\n",
            table(("peer", "mean µs", "times the best", "outcome"), beside(peers, tried)),
            "### What failed or was slower, and why\n",
            table(("candidate", "outcome", "mean µs", "hypothesis", "lesson"), losses(tried)),
        ]
    )


def picture(
    nodes: Sequence[Node], baseline: float | None, device: str, promoted: str | None
) -> str:
    """The latencies in the order of the trials, as an SVG with colours of its own."""
    points = [
        plots.TrajectoryPoint(
            position,
            node.latency_us,
            node.candidate_id == promoted,
            node.outcome is CandidateStatus.FAILED,
            node.sealed,
        )
        for position, node in enumerate(nodes, 1)
    ]
    svg = plots.trajectory_svg(points, baseline, device)
    for variable, colour in COLOURS.items():
        svg = svg.replace(variable, colour)
    return svg


def baseline_us(archive: Archive, nodes: Iterable[Node]) -> float | None:
    """The median of the baseline's means in the records."""
    totals = (archive.read(node).evaluation.totals for node in nodes)
    means = [t.baseline_mean_latency_us for t in totals if t.baseline_mean_latency_us is not None]
    return statistics.median(means) if means else None


def ranked(nodes: Iterable[Node]) -> list[Node]:
    """Those with a latency; only sealed ones where there are any."""
    timed = [node for node in nodes if node.latency_us is not None]
    return [node for node in timed if node.sealed] or timed


def jumps(nodes: Sequence[Node]) -> list[tuple[str, ...]]:
    """The candidates that were faster than every one before them."""
    rows: list[tuple[str, ...]] = []
    best = float("inf")
    for node in ranked(nodes):
        if node.latency_us is not None and node.latency_us < best:
            best = node.latency_us
            rows.append((node.name, number(best), node.hypothesis, ", ".join(node.technique)))
    return rows


def beside(peers: Sequence[Node], tried: Sequence[Node]) -> list[tuple[str, ...]]:
    """Each peer's mean over the best candidate's."""
    best = min((node.latency_us or 0.0 for node in ranked(tried)), default=0.0)
    return [
        (
            node.name,
            number(node.latency_us) if node.latency_us else "–",
            f"{node.latency_us / best:.2f}" if node.latency_us and best else "–",
            node.outcome_words if node.latency_us is None else str(node.outcome),
        )
        for node in peers
    ]


def losses(nodes: Sequence[Node]) -> list[tuple[str, ...]]:
    """What failed or was not faster than what it was derived from."""
    latency = {node.candidate_id: node.latency_us for node in nodes}
    rows = []
    for node in nodes:
        before = [us for name in node.parents if (us := latency.get(name)) is not None]
        slower = node.latency_us is not None and before and node.latency_us >= min(before)
        if node.outcome is CandidateStatus.FAILED or slower:
            said = "no gain" if slower else str(node.outcome)
            mean = number(node.latency_us) if node.latency_us is not None else "–"
            rows.append((node.name, said, mean, node.hypothesis, node.lesson or node.outcome_words))
    return rows


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; "None." without rows."""
    lines = ["| " + " | ".join(_cell(word) for word in row) + " |" for row in rows]
    if not lines:
        return "None.\n"
    return "\n".join([f"| {' | '.join(head)} |", "| --- " * len(head) + "|", *lines, ""])


def _cell(words: str) -> str:
    one_line = re.sub(r"\s\S*…$", " …", " ".join(words.split()))  # the archive cuts in a word
    cut = textwrap.shorten(one_line, WORDS, placeholder=" …")
    return cut.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


if __name__ == "__main__":
    sys.exit(main())
