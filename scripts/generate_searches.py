"""Writes the guide's page on the searches from the operators' histories.

    python scripts/generate_searches.py [--kernels FOLDER] [--out docs]

A history is `kernels/<operator>/history.bundle`, an archive in one file. For each the page has the
latencies of all candidates in the order of their trials, the changes that made the best faster,
what was judged on every workload, by a promotion's verifications too, who is fastest at which
size, what others wrote (candidates with the tag `peer`, peers, baselines and references that were
timed), and what failed or was slower, with the lesson. Every figure is a record's.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from kernel_harness.tools.archive.promotion.events import best_elsewhere, events
from kernel_harness.tools.archive.report import board_rows
from kernel_harness.tools.archive.report.page_data import current_promotions
from kernel_harness.tools.archive.report.trajectory import (
    Against,
    Over,
    trajectory_points,
    trajectory_svg,
)
from kernel_harness.tools.archive.search.record_holders import (
    VirtualBest,
    candidate_times,
    virtual_best,
)
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.entry import (
    CandidateStatus,
    Node,
    mean_latency_us,
    number,
)
from kernel_harness.tools.archive.store.promotion_tags import PromotionEvent
from kernel_harness.tools.archive.store.transfer import fetch
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation, Scope
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

Beside a peer stands what those of its kernels take that are neither PyTorch's nor copies: the
library's own, without the preparations that belong to the call; and the largest norm of its error,
over the oracle's output.
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
                section(harness, bundle.parent.name, device, out)
                for device in devices(harness.archive, bundle.parent.name)
            ]
        finally:
            harness.archive.close()


def devices(archive: Archive, definition: str) -> list[str]:
    """The devices on which candidates of an operator were timed."""
    timed = (node for node in archive.iter(definition) if node.latency_us is not None)
    return sorted({node.hardware for node in timed})


def section(harness: Harness, definition: str, device: str, out: Path) -> str:
    """One operator's search on one device as Markdown; writes its picture."""
    archive = harness.archive
    judged = [
        (node, archive.read(node).evaluation)
        for node in archive.iter(definition)
        if node.verified and (node.hardware == device or node.outcome is CandidateStatus.FAILED)
    ]
    evaluations = {n.candidate_id: e for n, e in judged if not e.input_family}
    nodes = [node for node, _ in judged if node.candidate_id in evaluations]
    tried = [node for node in nodes if PEER not in node.technique]
    peers = [node for node in nodes if PEER in node.technique]
    operator = harness.dataset.operators.get(definition)
    others = board_rows.OtherTimes(board_rows.known_programs(operator))
    contents = {node.content_hash for node in nodes}
    times = []
    for node in nodes:
        evaluation = evaluations[node.candidate_id]
        others.gather(node, evaluation, contents)
        if node in tried and (found := candidate_times(node, evaluation)) is not None:
            times.append(found)
    promoted = current_promotions(events(archive, definition)).get((definition, device))
    image = f"images/search-{definition}-{device}.svg"
    (out / image).parent.mkdir(parents=True, exist_ok=True)
    (out / image).write_text(picture(tried, others, device, promoted))
    techniques = {name for node in tried for name in node.technique}
    programs = {node.content_hash: node for node in tried}.values()
    failed = sum(node.outcome is CandidateStatus.FAILED for node in programs)
    return "\n".join(
        [
            f"## {definition} on {device}\n",
            f"{len(programs)} candidates, {failed} of them failed; {len(techniques)} techniques.\n",
            f"![Latency of candidates over time]({image})\n",
            "### What made it faster\n",
            table(("candidate", "mean µs", "hypothesis", "techniques"), jumps(tried)),
            "### On every workload\n",
            table(
                ("candidate", "mean µs", "judged by"), in_full(archive, tried, definition, device)
            ),
            "### Fastest at each size\n",
            records(virtual_best(times)),
            "### Peers, baselines and references\n",
            table(
                ("program", "mean µs", "its kernels µs", "error", "times the best", "what"),
                beside([(node, evaluations[node.candidate_id]) for node in peers], others, tried),
            ),
            *on_other_inputs([(n, e) for n, e in judged if e.input_family]),
            "### What failed or was slower, and why\n",
            table(("candidate", "outcome", "mean µs", "hypothesis", "lesson"), losses(tried)),
        ]
    )


def picture(
    nodes: Sequence[Node], others: board_rows.OtherTimes, device: str, promoted: str | None
) -> str:
    """The latencies in the order of the trials, as an SVG with colours of its own."""
    first = next(iter(others.programs()), None)
    against = Against(first.latency_us, first.name) if first else None
    points = trajectory_points(nodes, device, Over.CANDIDATES, [promoted] if promoted else ())
    svg = trajectory_svg(points, against, device)
    for variable, colour in COLOURS.items():
        svg = svg.replace(variable, colour)
    return svg


def records(found: VirtualBest | None) -> str:
    """Who holds the record at which size, and what choosing between them would gain."""
    if found is None:
        return "None.\n"
    rows = [
        (band.words, band.holder.name, number(band.latency_us), number(band.best_us))
        for band in found.bands
    ]
    said = f"Dispatched: {number(found.latency_us)} instead of {number(found.best_us)} µs.\n"
    alone = "One candidate is the fastest at every size, or within the noise of it.\n"
    return "\n".join(
        [
            table((found.axis, "holder", "mean µs", "best over all"), rows),
            said if len(found.holders) > 1 else alone,
        ]
    )


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


def in_full(
    archive: Archive, tried: Sequence[Node], definition: str, device: str
) -> list[tuple[str, ...]]:
    """Means that no sample stands for: full sets, and the verifications of promotions."""
    rows = [
        (node.name, number(node.latency_us), "full set" if node.sealed else "full set, claimed")
        for node in tried
        if node.scope in (Scope.FULL, Scope.OFFICIAL) and node.latency_us is not None
    ]
    names = {node.candidate_id: node.name for node in tried}
    decided = [*events(archive, definition), *best_elsewhere(archive, definition)]
    here = (e for e in decided if e.kind == "promoted" and e.gpu == device)
    rows += [(names[e.candidate_id], *verified(e)) for e in here if e.candidate_id in names]
    return rows


def verified(event: PromotionEvent) -> tuple[str, str]:
    """Means of a promotion's verifications, and what they were judged with."""
    begins, ends = event.message.index("{"), event.message.rindex("}") + 1
    repeats = json.loads(event.message[begins:ends])["repeats"]
    means = ", ".join(number(repeat["mean_latency_us"]) for repeat in repeats)
    baseline = ", ".join(number(repeat["baseline_mean_latency_us"]) for repeat in repeats)
    workloads = repeats[0]["workloads"]
    return means, (
        f"promotion, {event.clock}: {len(repeats)} verifications of {workloads} workloads; "
        f"{repeats[0]['baseline']} took {baseline}"
    )


def beside(
    peers: Sequence[tuple[Node, Evaluation]],
    others: board_rows.OtherTimes,
    tried: Sequence[Node],
) -> list[tuple[str, ...]]:
    """Mean of each program by others, what its kernels take, its error, its mean over the best."""
    best = min((node.latency_us or 0.0 for node in ranked(tried)), default=0.0)
    rows = [
        (
            node.name,
            node.latency_us,
            board_rows.mean_over_workloads(evaluation, board_rows.own_kernels_us),
            board_rows.largest_error(evaluation),
            node.outcome_words if node.latency_us is None else PEER,
        )
        for node, evaluation in peers
    ]
    archived = (others.of(node.content_hash) for node, _ in peers)
    own = {other.name for other in archived if other is not None}
    rows += [
        (o.name, o.latency_us, None, None, str(o.origin))
        for o in others.programs()
        if o.name not in own
    ]
    return [
        (
            name,
            number(latency) if latency else "–",
            number(kernels) if kernels is not None else "–",
            f"{error:.1e}" if error is not None else "–",
            f"{latency / best:.2f}" if latency and best else "–",
            words,
        )
        for name, latency, kernels, error, words in rows
    ]


def on_other_inputs(judged: Sequence[tuple[Node, Evaluation]]) -> list[str]:
    """Means on inputs that do not rank, the fastest of each family first; nothing without any."""
    timed = [
        (evaluation.input_family, mean, node.name)
        for node, evaluation in judged
        if (mean := mean_latency_us(evaluation)) is not None
    ]
    if not timed:
        return []
    rows = [(family, name, number(mean)) for family, mean, name in sorted(timed)]
    return ["### On inputs that do not rank\n", table(("inputs", "program", "mean µs"), rows)]


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
