"""The archive for people at a terminal: log, show, diff and best as coloured tables and text.

Each function returns something that rich prints; nothing here prints. Foreign words stand in cells
that are `Text`: none is read as rich's markup, whichever console prints it.
"""

from __future__ import annotations

import re

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ...schema.evaluation import UNDECIDED, Evaluation, Status
from ..promotion.events import best_elsewhere, events
from ..store.archive import Archive
from ..store.entry import CandidateStatus, Node, number
from ..store.manifest import CandidateRecord
from ..store.trials.lineage import named
from .page_data import TO_VERIFY, boards, claimed_promotions, current_promotions

COLOURS = {
    CandidateStatus.FASTER: "green",
    CandidateStatus.SLOWER: "yellow",
    CandidateStatus.EQUAL: "white",
    CandidateStatus.FAILED: "red",
    CandidateStatus.UNTIMED: "cyan",
    CandidateStatus.UNDECIDED: "bright_black",
}
_LINE = re.compile(r"^(?P<rails>[^0-9a-f]*)(?P<id>[0-9a-f]{12}) (?P<words>.*)$")


def log(archive: Archive, definition: str | None = None, limit: int = 200) -> RenderableType:
    """The search tree as `git log --graph` draws it, each candidate in its outcome's colour."""
    graph = archive.log_graph(definition, limit)
    if not graph:
        return Text("Nothing was archived yet.", style="bright_black")
    lines = [(_LINE.match(line), line) for line in graph.split("\n")]
    nodes = {n.candidate_id: n for n in archive.nodes(*(m["id"] for m, _ in lines if m))}
    history = events(archive, definition)
    promoted = set(current_promotions(history).values())
    claimed = claimed_promotions(history)
    text = Text()
    for match, line in lines:
        node = nodes.get(match["id"]) if match else None
        if match is None or node is None:
            text.append(f"{line}\n", style="bright_black")
            continue
        text.append(match["rails"], style="bright_black")
        text.append(f"{node.candidate_id} ", style="bold")
        text.append(f"{node.outcome} ", style=COLOURS[node.outcome])
        text.append(match["words"])
        if node.technique:
            text.append(f"  [{', '.join(node.technique)}]", style="blue")
        star = " ★ promoted" if node.candidate_id in promoted else ""
        star += f", {TO_VERIFY}" if node.candidate_id in claimed else ""
        text.append(f"{star}\n", style="magenta")
    return text


def best(archive: Archive, definition: str | None = None, count: int = 5) -> RenderableType:
    """The best candidates of each operator and device, sealed before claimed, the least first."""
    table = Table(title="Best candidates", title_justify="left")
    for name in ("operator", "device", "candidate", "name", "technique", "scope"):
        table.add_column(name, overflow="fold")
    table.add_column("latency us", justify="right")
    table.add_column("clock")
    table.add_column("speedup", justify="right")
    history = events(archive, definition)
    promoted, claimed = current_promotions(history), claimed_promotions(history)
    found = boards(list(archive.iter(definition)), promoted)
    for board in found:
        chosen = promoted.get((board.definition, board.device))
        for row, node in enumerate(board.rows[:count]):
            star = " ★" if chosen == node.candidate_id else ""
            candidate = Text.assemble((node.candidate_id, "bold"), (star, "magenta"))
            table.add_row(
                Text(board.definition if row == 0 else ""),
                Text(board.device if row == 0 else ""),
                candidate,
                Text(node.name),
                Text(", ".join(node.technique)),
                Text(node.scope),
                _us(node.latency_us),
                node.clock,
                f"{number(node.speedup)}x" if node.speedup else "-",
                style="bold" if row == 0 else "",
            )
        table.add_section()
    verified = [event for event in history if event.kind == "verified"]
    lines: list[RenderableType] = [table] if found else [Text("Nothing was timed yet.")]
    lines += [
        Text(f"verified, not timed: {e.definition} {e.candidate_id} ({e.tag})", style="cyan")
        for e in verified
    ]
    reasons = dict.fromkeys(n.clock_reason for b in found for n in b.rows[:count])
    lines += [Text(f"claimed: {reason}", style="yellow") for reason in reasons if reason]
    lines += [Text(f"{name} is promoted, {TO_VERIFY}", style="magenta") for name in sorted(claimed)]
    lines += [
        Text(f"promoted elsewhere: {e.definition} {e.gpu} {e.candidate_id} ({e.signer})")
        for e in best_elsewhere(archive, definition)
    ]
    return Group(*lines)


def show(archive: Archive, candidate_id: str) -> RenderableType:
    """One candidate or trial: verdict, lineage, words, failure and a table of its workloads."""
    node, record = named(archive, candidate_id)
    parts: list[RenderableType] = [_head(archive, node, record)]
    failure = record.evaluation.failure
    if failure is not None:
        said = f"{failure.kind}: {failure.message}\n{failure.remedy}"
        if failure.excerpt:
            said += f"\n\n{failure.excerpt}"
        # A console that wraps nothing, as for diffs, would cut what does not fit the frame.
        words = Text(said, no_wrap=False, overflow="fold")
        parts.append(Panel(words, title="failure", border_style="red", title_align="left"))
    parts.append(_workloads(record.evaluation))
    return Group(*parts)


def diff(archive: Archive, a: str, b: str) -> RenderableType:
    """The kernel change between two candidates, with both outcomes above it."""
    first, second = named(archive, a)[0], named(archive, b)[0]
    head = Text()
    for sign, node in (("-", first), ("+", second)):
        head.append(f"{sign} {node.candidate_id} ", style="bold")
        head.append(f"{node.outcome}", style=COLOURS[node.outcome])
        head.append(f" {node.latency_words or '-'}  {node.outcome_words}\n")
    text = archive.diff(a, b)
    if not text:
        return Group(head, Text("The sources are the same.", style="bright_black"))
    return Group(head, Syntax(text, "diff", word_wrap=True, background_color="default"))


def _head(archive: Archive, node: Node, record: CandidateRecord) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bright_black")
    table.add_column(overflow="fold")
    colour = COLOURS[node.outcome]
    reason = f": {node.clock_reason}" if node.clock_reason else ""
    outcome = Text.assemble((str(node.outcome), colour), f": {node.outcome_words}")
    of_trial = node.candidate_id == node.evaluation_id
    children = () if of_trial else archive.children(node.candidate_id)
    born = (child.candidate_id for child in children)
    rows = {
        "operator": f"{node.definition} on {node.hardware}, scope {node.scope}",
        "latency": f"{node.latency_words or '-'}{reason}",
        "technique": ", ".join(node.technique) or "-",
        "hypothesis": record.candidate.hypothesis or "-",
        "lesson": record.candidate.lesson or "-",
        **({"notes": "\n".join(record.notes)} if record.notes else {}),
        "parents": ", ".join(node.parents) or "none: a root",
        "children": ", ".join(born) or "none",
        "evaluation": node.evaluation_id,
        "made by": _authorship(record),
        "signature": f"{node.trust}: {node.trust_words}",
        "ref": node.ref,
    }
    elsewhere = [
        f"on {event.gpu}, {event.signer}"
        for event in best_elsewhere(archive, node.definition)
        if event.candidate_id == node.candidate_id
    ]
    if elsewhere:
        rows["promoted elsewhere"] = "; ".join(elsewhere)
    table.add_row("outcome", outcome)
    for name, words in rows.items():
        table.add_row(name, Text(words))
    title = Text(f"{node.candidate_id} {node.name}")
    return Panel(table, title=title, title_align="left", border_style=colour)


def _authorship(record: CandidateRecord) -> str:
    """Who made a candidate, and which skills they had read."""
    said = record.candidate.made_by
    parts = [said.agent or "nobody said"]
    parts += [f"session {said.session}"] if said.session else []
    parts += [f"read {', '.join(said.skills)}"] if said.skills else []
    return "; ".join(parts)


def _workloads(evaluation: Evaluation) -> Table:
    table = Table(title="Workloads", title_justify="left")
    for name in ("uuid", "axes", "regime", "status"):
        table.add_column(name, overflow="fold")
    others = {
        name: column
        for name, column in {
            "cold us": [w.cold_us for w in evaluation.workloads],
            "clean us": [w.clean_us for w in evaluation.workloads],
            "sustained us": [w.sustained_us for w in evaluation.workloads],
            "warm us": [w.warm_latency_us for w in evaluation.workloads],
        }.items()
        if any(column)
    }
    for name in ("latency us", "called us", *others, "interval", "ratio", "SOL %"):
        table.add_column(name, justify="right")
    table.add_column("clock")
    table.add_column("decision")
    for row, w in enumerate(evaluation.workloads):
        interval = w.latency_interval_us
        passed = w.status in {Status.PASSED, *UNDECIDED}
        table.add_row(
            Text(w.uuid[:8]),
            Text(" ".join(f"{k}={v}" for k, v in w.axes.items())),
            Text(w.regime or ""),
            Text(str(w.status), style="" if passed else "red"),
            _us(w.latency_us),
            _us(w.called_us),
            *(_us(column[row]) for column in others.values()),
            f"{number(interval[0])}-{number(interval[1])}" if interval else "",
            f"{number(w.comparison.ratio)}x" if w.comparison and w.comparison.ratio else "",
            f"{w.sol_percent:.0f}" if w.sol_percent is not None else "",
            str(w.sealing.source) if w.sealing else "",
            Text(str(w.comparison.decision) if w.comparison else (w.reason or "")),
        )
    return table


def _us(value: float | None) -> str:
    return "-" if value is None else number(value)
