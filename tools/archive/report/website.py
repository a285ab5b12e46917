"""A static site of the archive: it works from a file, on a phone, in the dark, without a network.

Reads git and writes HTML; what a page says is decided in `page_data`, how it looks in `templates/`.
Every figure is from a record. Whatever a candidate's author wrote is escaped, and the pages' own
policy forbids every request, so that a hostile archive shows text and does nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...text import visible
from ..promotion.events import best_elsewhere, events
from ..search.forecasts import forecast_report
from ..search.record_holders import CandidateTimes, VirtualBest, candidate_times, virtual_best
from ..store.archive import Archive
from ..store.entry import Node, number
from ..store.manifest import CandidateRecord, ref_part
from . import board_rows
from . import page_data as pages
from .charts import SiteCharts
from .trajectory import Against, Over, trajectory_points, trajectory_svg

if TYPE_CHECKING:
    from ...schema.evaluation import Evaluation
    from ...workloads.dataset import Dataset

_TEMPLATES = Path(__file__).parent / "templates"
_PROFILE_CHARACTERS = 20_000
_CHUNK = 200


@dataclass(frozen=True)
class _BoardView:
    """A board as a page shows it.

    Attributes:
        columns: programs of others that each row is compared with.
        records: who is fastest at which size.
    """

    board: pages.Board
    rows: list[board_rows.Row]
    columns: list[board_rows.OtherProgram]
    records: VirtualBest | None


@dataclass
class _DeviceTimes:
    """Latencies of one operator on one device, found while the candidates' pages were written."""

    others: board_rows.OtherTimes
    candidates: list[CandidateTimes] = field(default_factory=list[CandidateTimes])

    @property
    def against(self) -> Against | None:
        """What speed-ups are over: the reference, else a baseline."""
        first = next(iter(self.others.programs()), None)
        return Against(first.latency_us, first.name) if first else None


def write_site(
    archive: Archive, out_dir: Path, dataset: Dataset | None = None, searches: str = ""
) -> Path:
    """Writes the whole site, over an earlier one, and returns the path of its index.html.

    A dataset adds rooflines of the operators it knows.

    Args:
        searches: what is to be said of unattended searches, in lines.
    """
    return _Site(archive, out_dir, dataset).write(searches)


class _Site:
    """Writes one site."""

    def __init__(self, archive: Archive, out_dir: Path, dataset: Dataset | None) -> None:
        self.archive, self.out_dir = archive, out_dir
        self.nodes = list(archive.iter())
        self.contents = {node.content_hash for node in self.nodes}
        self.by_id = {node.candidate_id: node for node in self.nodes}
        self.events = events(archive)
        self.current_promotions = pages.current_promotions(self.events)
        self.to_verify = pages.claimed_promotions(self.events)
        self.times: dict[tuple[str, str], _DeviceTimes] = {}
        self.operators = dataset.operators if dataset else {}
        self.charts = SiteCharts(self.nodes, dataset)
        self.born: dict[str, list[Node]] = {}
        for node in self.nodes:
            for parent in node.parents:
                self.born.setdefault(parent, []).append(node)
        self.templates = _environment()

    def write(self, searches: str) -> Path:
        """Writes every page, candidates first, for they tell the baselines."""
        for folder in ("", "operators", "candidates"):
            (self.out_dir / folder).mkdir(parents=True, exist_ok=True)
        for node, record, diff in self._records():
            self._write_candidate(node, record, diff)
        definitions = sorted({node.definition for node in self.nodes})
        for definition in definitions:
            self._write_operator(definition)
        index = self.out_dir / "index.html"
        text = self._render(
            "index.html",
            root=".",
            views=self._views(self.nodes, 5),
            tally=pages.tally(self.nodes),
            operators=[(d, pages.tally(self._of(d))) for d in definitions],
            recent=sorted(self.nodes, key=lambda n: -n.at)[:20],
            events=self.events[::-1][:20],
            elsewhere=best_elsewhere(self.archive)[:20],
            agents=forecast_report(self.archive).agents,
            searches=searches,
        )
        index.write_text(text, encoding="utf-8")
        return index

    def _of(self, definition: str) -> list[Node]:
        return [node for node in self.nodes if node.definition == definition]

    def _render(self, template: str, **values: Any) -> str:
        marks = dict.fromkeys(self.to_verify, pages.TO_VERIFY)
        shared = {
            "by_id": self.by_id,
            "promoted": {i: marks.get(i, "") for i in self.current_promotions.values()},
            "written": datetime.now(UTC),
        }
        return self.templates.get_template(template).render(**shared, **values)

    def _records(self) -> Iterator[tuple[Node, CandidateRecord, str]]:
        """Every candidate with its diff to its first parent, in chunks of one git process each."""
        for start in range(0, len(self.nodes), _CHUNK):
            part = self.nodes[start : start + _CHUNK]
            diffs = self._diffs(part)
            for node in part:
                record = self.archive.read(node)
                yield node, record, diffs.get(node.commit, "")

    def _diffs(self, nodes: Sequence[Node]) -> dict[str, str]:
        pairs = [
            f"{node.commit} {self.by_id[node.parents[0]].commit}"
            for node in nodes
            if node.parents and node.parents[0] in self.by_id
        ]
        if not pairs:
            return {}
        options = ("--stdin", "-p", "-r", "-M", "--no-color", "--no-ext-diff", "--", "sources")
        stdin = ("\n".join(pairs) + "\n").encode()
        text = self.archive.repository.run("diff-tree", *options, stdin=stdin)
        found: dict[str, str] = {}
        commits = {pair.split(" ")[0] for pair in pairs}
        present, lines = "", list[str]()
        for line in [*text.split("\n"), ""]:
            if line in commits:
                found[present], present, lines = "\n".join(lines), line, []
            else:
                lines.append(line)
        found[present] = "\n".join(lines)
        return found

    # --- pages --------------------------------------------------------------------------------

    def _write_candidate(self, node: Node, record: CandidateRecord, diff: str) -> None:
        evaluation = record.evaluation
        self._note_times(node, evaluation)
        text = self._render(
            "candidate.html",
            root="..",
            node=node,
            record=record,
            evaluation=evaluation,
            diff=pages.diff_lines(diff),
            children=self.born.get(node.candidate_id, []),
            events=[e for e in self.events if e.candidate_id == node.candidate_id],
            charts=self.charts.of(node, record),
            profiles=self._profiles(record),
            plan=self.archive.plans.find(node.plan) if node.plan else None,
        )
        path = self.out_dir / "candidates" / f"{node.candidate_id}.html"
        path.write_text(text, encoding="utf-8", errors="replace")

    def _profiles(self, record: CandidateRecord) -> list[tuple[str, str]]:
        found = []
        for name in record.profiles:
            content = self.archive.read_profile(record.candidate_id, name)
            text = content[:_PROFILE_CHARACTERS].decode("utf-8", "replace")
            printable = text.isprintable() or "\x00" not in text
            found.append((name, text if printable else f"{len(content)} bytes, not text"))
        return found

    def _note_times(self, node: Node, evaluation: Evaluation) -> None:
        if not node.verified:
            return
        key = (node.definition, node.hardware)
        if key not in self.times:
            known = board_rows.known_programs(self.operators.get(node.definition))
            self.times[key] = _DeviceTimes(board_rows.OtherTimes(known))
        self.times[key].others.gather(node, evaluation, self.contents)
        if (times := candidate_times(node, evaluation)) is not None:
            self.times[key].candidates.append(times)

    def _views(self, nodes: Sequence[Node], limit: int) -> list[_BoardView]:
        views = []
        for board in pages.boards(nodes, self.current_promotions):
            times = self.times[(board.definition, board.device)]
            views.append(
                _BoardView(
                    board,
                    board_rows.rows(board, times.others, limit),
                    board_rows.columns(times.others.programs()),
                    virtual_best(times.candidates),
                )
            )
        return views

    def _write_operator(self, definition: str) -> None:
        nodes = self._of(definition)
        views = self._views(nodes, 20)
        text = self._render(
            "operator.html",
            root="..",
            definition=definition,
            views=views,
            trajectories=[(v.board.device, self._courses(nodes, v.board)) for v in views],
            tally=pages.tally(nodes),
            tree=pages.tree_rows(nodes),
            failures=pages.failures(nodes),
            nodes=sorted(nodes, key=lambda n: -n.at),
            events=[e for e in self.events if e.definition == definition][::-1],
            forecasts=forecast_report(self.archive, definition),
        )
        path = self.out_dir / "operators" / f"{page_name(definition)}.html"
        path.write_text(text, encoding="utf-8", errors="replace")

    def _courses(self, nodes: Sequence[Node], board: pages.Board) -> list[tuple[str, str]]:
        """The search over trials, over GPU time and over wall time, each with its title."""
        ever = {
            e.candidate_id for e in self.events if e.kind == "promoted" and e.gpu == board.device
        }
        against = self.times[(board.definition, board.device)].against
        found = []
        for over in Over:
            points = trajectory_points(nodes, board.device, over, ever)
            svg = trajectory_svg(points, against, board.device, over)
            found.append((f"over {over.replace('_', ' ')}", svg))
        return found


def page_name(definition: str) -> str:
    """A definition's name as that of a file and in a relative link; no two have the same."""
    return ref_part(definition).replace("%", "~")


def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {**figures(), "date": _date, "page": page_name}
    environment.filters |= {"breaks": _breaks, "made_by": _made_by}
    return environment


def _visible(value: Any) -> Any:
    """What a page shows of a value; markup is the harness's own and stays as it is."""
    return visible(value) if type(value) is str else value


def _breaks(name: str) -> Any:
    """A long name that may be broken after each of its parts."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([_/.-])", r"\1<wbr>", str(escape(visible(name)))))


def _made_by(node: Node) -> str:
    """Client and model that wrote a candidate; empty where nobody said it."""
    return " / ".join(name for name in (node.client, node.model) if name)


def figures() -> dict[str, Callable[[float | None], str]]:
    """How templates show latencies in µs and ratios."""
    return {"us": _us, "ratio": _ratio}


def _us(value: float | None) -> str:
    if value is None:
        return "–"
    # Zeros at the end stay, so that the figures of a column have their digits below each other.
    return f"{value:#.4g}".rstrip(".") if 1e-3 <= abs(value) < 1e4 else number(value)


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:#.3g}".rstrip(".") + "×"


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
