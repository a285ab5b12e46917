"""The archive for people at a terminal: log, show, diff and best as coloured tables and text.

Each function returns something that rich prints; nothing here prints. Foreign words stand in cells
that are `Text`: none is read as rich's markup, whichever console prints it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from ...schema.evaluation import UNDECIDED, Evaluation, Status
from ...text import short_uuid
from ..promotion.events import best_elsewhere, events
from ..store.archive import Archive
from ..store.entry import CandidateStatus, Node, number
from ..store.manifest import CandidateRecord
from ..store.trials.lineage import candidate_or_trial
from .board_rows import Row, columns, others_on
from .board_rows import rows as board_rows
from .listing import GAP, Column, Listing, Sentence, hanging
from .page_data import TO_VERIFY, boards, claimed_promotions, current_promotions
from .tree_graph import TreeLine, tree_lines

if TYPE_CHECKING:
    from ...workloads.operators import Operator

COLOURS = {
    CandidateStatus.FASTER: "green",
    CandidateStatus.SLOWER: "yellow",
    CandidateStatus.EQUAL: "white",
    CandidateStatus.FAILED: "red",
    CandidateStatus.UNCOMPARED: "cyan",
    CandidateStatus.UNTIMED: "cyan",
    CandidateStatus.UNDECIDED: "bright_black",
}
_BEST_COLUMNS = (
    Column("candidate"),
    Column(""),
    Column("latency us", right=True),
    Column("clock"),
    Column("speedup", right=True),
    Column("scope"),
    Column("name", words=True),
    Column("technique", words=True),
)
_WORKLOAD_COLUMNS = (
    *(Column("uuid"), Column("status"), Column("latency us", right=True)),
    *(Column("interval", right=True), Column("ratio", right=True), Column("decision")),
    *(Column("SOL %", right=True), Column("clock")),
    *(
        Column(f"{name} us", right=True)
        for name in ("called", "cold", "clean", "sustained", "warm")
    ),
    *(Column("regime", words=True), Column("axes", words=True)),
)
_LEAST_WIDTH = 14
"""For an id beside rails of any width."""
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_HEAD_STYLES = ("+++", "---", "diff ", "index ", "similarity ", "rename ", "new file", "deleted ")


@dataclass(frozen=True)
class TreeDrawing:
    """The search tree for rich to print: in a terminal wrapped beside its rails, else a line each.

    Attributes:
        omitted: older candidates that are not drawn.
    """

    lines: Sequence[tuple[TreeLine, Text]]
    omitted: int = 0

    @property
    def plain(self) -> str:
        """The tree as text, a candidate a line."""
        return "\n".join(line.plain for line in self._whole())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The lines, as wide as the console is where that is a terminal."""
        if not console.is_terminal:
            yield from self._whole()
            return
        for line, words in self.lines:
            rails = Text(line.rails, "bright_black")
            if line.candidate_id is None:
                yield rails
            space = max(options.max_width - rails.cell_len - GAP, _LEAST_WIDTH)
            for part in hanging(console, words, space, Text()) if line.candidate_id else ():
                yield Text.assemble(rails, part)
                rails = Text(f"{line.below}{' ' * GAP}", "bright_black")
        yield from self._end()

    def _whole(self) -> Iterator[Text]:
        for line, words in self.lines:
            yield Text.assemble(Text(line.rails, "bright_black"), words)
        yield from self._end()

    def _end(self) -> Iterator[Text]:
        if not self.lines:
            yield Text("Nothing was archived yet.", "bright_black")
        if self.omitted:
            yield Text(f"… and {self.omitted} older; --limit shows more", "bright_black")


def log(archive: Archive, definition: str | None = None, limit: int = 200) -> TreeDrawing:
    """The search tree with the parents that hold now, each candidate in its outcome's colour."""
    known = list(archive.iter(definition))
    nodes = {node.candidate_id: node for node in known[-limit:]}
    history = events(archive, definition)
    promoted = set(current_promotions(history).values())
    claimed = claimed_promotions(history)
    drawn: list[tuple[TreeLine, Text]] = []
    of_shown = {parent for node in nodes.values() for parent in node.parents}
    older = [node for node in known[:-limit] if node.candidate_id in of_shown]
    for line in tree_lines([*older, *nodes.values()]):
        text = Text()
        if line.candidate_id is not None and line.candidate_id not in nodes:
            text.append(f"{line.candidate_id} older", style="bright_black")
        elif line.candidate_id is not None:
            node = nodes[line.candidate_id]
            text.append(f"{node.candidate_id} ", style="bold")
            text.append(f"{node.outcome} ", style=COLOURS[node.outcome])
            text.append(f"{node.name}: {_found(node)}")
            if node.technique:
                text.append(f"  [{', '.join(node.technique)}]", style="blue")
            star = " ★ promoted" if node.candidate_id in promoted else ""
            star += f", {TO_VERIFY}" if node.candidate_id in claimed else ""
            text.append(star, style="magenta")
        drawn.append((line, text))
    return TreeDrawing(drawn, len(known) - len(nodes))


def _found(node: Node) -> str:
    """What was found of a candidate, in a few words."""
    if node.latency_us is None:
        return f"{node.outcome_words} on {node.hardware}"
    versus = f", {number(node.speedup)}x its baseline" if node.speedup else ""
    return f"{node.latency_words}{versus} on {node.hardware}"


def best(
    archive: Archive,
    definition: str | None = None,
    count: int = 5,
    operators: Mapping[str, Operator] | None = None,
) -> RenderableType:
    """The best candidates of each operator and device, sealed before claimed, the least first.

    Between them, without an id, stands what others wrote: the reference, baselines and peers, which
    `operators` name.
    """
    history = events(archive, definition)
    promoted, claimed = current_promotions(history), claimed_promotions(history)
    found = boards(list(archive.iter(definition)), promoted)
    lines: list[RenderableType] = [] if found else [Text("Nothing was timed yet.")]
    for board in found:
        chosen = promoted.get((board.definition, board.device))
        others = others_on(archive, board, (operators or {}).get(board.definition))
        against = next(iter(columns(others.programs())), None)
        over = against.name if against else ""
        rows = [_best_row(row, over, chosen) for row in board_rows(board, others, count)]
        title = Text(f"{board.definition} on {board.device}", "bold")
        if over:
            title.append(f", speed-ups over {over}", "not bold")
        lines += [Sentence(title), Listing(_BEST_COLUMNS, rows), Text()]
    verified = [event for event in history if event.kind == "verified"]
    said = [
        Text(f"verified, not timed: {e.definition} {e.candidate_id} ({e.tag})", style="cyan")
        for e in verified
    ]
    reasons = dict.fromkeys(n.clock_reason for b in found for n in b.rows[:count])
    said += [Text(f"claimed: {reason}", style="yellow") for reason in reasons if reason]
    said += [Text(f"{name} is promoted, {TO_VERIFY}", style="magenta") for name in sorted(claimed)]
    said += [
        Text(f"promoted elsewhere: {e.definition} {e.gpu} {e.candidate_id} ({e.signer})")
        for e in best_elsewhere(archive, definition)
    ]
    lines += map(Sentence, said)
    return Group(*lines)


def _best_row(row: Row, over: str, promoted: str | None) -> tuple[Text, ...]:
    """The cells of a line; of what others wrote its origin stands for the scope."""
    ratio = row.over.get(over)
    speedup = Text(f"{number(ratio)}x" if ratio else "-")
    if (node := row.node) is None:
        said = (str(row.other.origin), row.other.name) if row.other else ("", "")
        name = (Text(said[0]), Text(said[1]), Text())
        return (Text(), Text(), Text(_us(row.latency_us)), Text(), speedup, *name)
    return (
        Text(node.candidate_id, "bold"),
        Text("★" if promoted == node.candidate_id else "", "magenta"),
        Text(_us(node.latency_us)),
        Text(node.clock),
        speedup,
        Text(node.scope),
        Text(node.name),
        Text(", ".join(node.technique)),
    )


def show(archive: Archive, candidate_id: str) -> RenderableType:
    """One candidate or trial: verdict, lineage, words, failure and a table of its workloads."""
    node, record = candidate_or_trial(archive, candidate_id)
    parts: list[RenderableType] = [_head(archive, node, record)]
    failure = record.evaluation.failure
    if failure is not None:
        said = {
            "failure": Text(f"{failure.kind}: {failure.message}"),
            "remedy": Text(failure.remedy),
        }
        parts += [Text(), Fields(said)]
        parts += [Text(f"\n{failure.excerpt}")] if failure.excerpt else []
    parts += [Text(), Text("Workloads", "bold"), _workloads(record.evaluation)]
    return Group(*parts)


def diff(archive: Archive, a: str, b: str) -> Text:
    """The kernel change between two candidates, whole, with both outcomes above it."""
    shown = Text()
    for sign, node in (
        ("-", candidate_or_trial(archive, a)[0]),
        ("+", candidate_or_trial(archive, b)[0]),
    ):
        shown.append(f"{sign} {node.candidate_id} ", style="bold")
        shown.append(f"{node.outcome}", style=COLOURS[node.outcome])
        shown.append(f" {node.latency_words or '-'}  {node.outcome_words}\n")
    text = archive.diff(a, b)
    if not text:
        return shown.append("The sources are the same.", style="bright_black")
    for line in text.rstrip("\n").split("\n"):
        bold = line.startswith(_HEAD_STYLES)
        shown.append(f"\n{line}", style="bold" if bold else _DIFF_STYLES.get(line[:1]))
    return shown


@dataclass(frozen=True)
class Fields:
    """Names and what is said under each for rich to print, wrapped beside the names."""

    rows: Mapping[str, Text]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The lines, as wide as the console is."""
        width = max(map(len, self.rows)) + GAP
        for name, words in self.rows.items():
            indent = Text(name.ljust(width), "bright_black")
            space = max(options.max_width - width, _LEAST_WIDTH)
            if any(len(word) > space for word in words.plain.split()):
                words = Text("/\n").join(words.split("/"))  # a path breaks between its parts
            for line in hanging(console, words, space, Text()):
                yield Text.assemble(indent, line)
                indent = Text(" " * width)


def _head(archive: Archive, node: Node, record: CandidateRecord) -> RenderableType:
    reason = f": {node.clock_reason}" if node.clock_reason else ""
    outcome = Text.assemble((str(node.outcome), COLOURS[node.outcome]), f": {node.outcome_words}")
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
        **({"plan": _plan(archive, node)} if node.plan else {}),
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
    fields = {"outcome": outcome} | {name: Text(words) for name, words in rows.items()}
    return Group(Text(f"{node.candidate_id} {node.name}", "bold"), Fields(fields))


def _plan(archive: Archive, node: Node) -> str:
    """The plan that a candidate carries out, with its forecast."""
    found = archive.plans.find(node.plan)
    return f"{node.plan} ({found.record.forecast})" if found else f"{node.plan}, not known here"


def _authorship(record: CandidateRecord) -> str:
    """Who made a candidate, and which skills they had read."""
    said = record.candidate.made_by
    parts = [said.agent or "not stated"]
    parts += [f"session {said.session}"] if said.session else []
    parts += [f"read {', '.join(said.skills)}"] if said.skills else []
    return "; ".join(parts)


def _workloads(evaluation: Evaluation) -> Listing:
    rows: list[list[Text]] = []
    for w in evaluation.workloads:
        interval = w.latency_interval_us
        passed = w.status in {Status.PASSED, *UNDECIDED}
        ratio = w.comparison.ratio if w.comparison else None
        cells = [
            Text(short_uuid(w.uuid)),
            Text(str(w.status), style="" if passed else "red"),
            Text(_us(w.latency_us)),
            Text(f"{number(interval[0])}-{number(interval[1])}" if interval else ""),
            Text(f"{number(ratio)}x" if ratio else ""),
            Text(str(w.comparison.decision) if w.comparison else (w.reason or "")),
            Text(f"{w.sol_percent:.0f}" if w.sol_percent is not None else ""),
            Text(str(w.sealing.source) if w.sealing else ""),
        ]
        others = (w.called_us, w.cold_us, w.clean_us, w.sustained_us, w.warm_latency_us)
        cells += [Text(number(value) if value else "") for value in others]
        axes = " ".join(f"{name}={value}" for name, value in w.axes.items())
        rows.append([*cells, Text(w.regime or ""), Text(axes)])
    return Listing(_WORKLOAD_COLUMNS, rows)


def _us(value: float | None) -> str:
    return "-" if value is None else number(value)
