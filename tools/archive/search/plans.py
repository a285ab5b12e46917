"""Plans in the search: told before the code is written, inherited when it is fixed, held to.

A candidate is held to the plan that it names, and to no other: not to what its parent's sources
happen to mark, which was the plan of a round before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...errors import HarnessError, RequestError
from ...schema.recognition import AnchorCheck
from ...schema.search.made_by import NOBODY, MadeBy
from ...schema.search.plan import SearchPlan
from ...text import one_line
from ..store.archive import Archive
from ..store.commit.prose import technique_tags
from ..store.plans.commits import StoredPlan
from ..store.trials.lineage import candidate_or_trial, start_of
from .anchors import BEGIN, END, check_change, find_regions

if TYPE_CHECKING:
    from ...schema.flashinfer_trace import Solution

MOST_PROBLEMS = 8


def record_plan(
    archive: Archive,
    scaffold: Solution,
    started_from: str | None,
    hypothesis: str,
    *,
    expected_gain: float,
    confidence: float,
    regimes: Sequence[str] = (),
    tags: Sequence[str] = (),
    made_by: MadeBy = NOBODY,
) -> StoredPlan:
    """Stores one idea with its scaffold, before it is written.

    Args:
        scaffold: the sources as they are, with the regions that may change between anchors; all
            may change where none are marked.
        started_from: what the scaffold was begun from.
        expected_gain: latency of the parent over that of the candidate to come.
        confidence: probability that it gains at least that.
        regimes: those that it is forecast for; empty for all workloads.

    Raises:
        RequestError: when anchors are malformed, or the forecast is none.
    """
    sources = {source.path: source.content for source in scaffold.sources}
    _refuse_malformed(sources)
    if not (0 < expected_gain <= 1_000 and 0 <= confidence <= 1) or not hypothesis.strip():
        raise RequestError(
            "The plan makes no forecast",
            remedy="Give a hypothesis, expected_gain as a ratio to the parent (1.3: 1.3 times "
            "faster) and confidence between 0 and 1.",
        )
    start = start_of(archive, started_from)
    record = SearchPlan(
        definition=scaffold.definition,
        parent=start[0][0] if start else (started_from or ""),
        hypothesis=hypothesis,
        technique=technique_tags(tags),
        expected_gain=expected_gain,
        confidence=confidence,
        regimes=list(regimes),
        spec=scaffold.spec.model_dump(mode="json"),
        made_by=made_by,
    )
    return archive.plans.write(record, sources, [commit for _, commit in start])


def _refuse_malformed(sources: Mapping[str, str]) -> None:
    found = [problem for path, text in sources.items() for problem in find_regions(path, text)[1]]
    if found:
        said = "; ".join(f"{p.path}:{p.line}: {p.words}" for p in found[:MOST_PROBLEMS])
        raise RequestError(
            f"The plan's anchors cannot be read: {said}",
            remedy=f"Put a comment line with {BEGIN} before, and one with {END} after each part "
            "that may change.",
        )


def regions_of(sources: Mapping[str, str]) -> int:
    """How many regions a scaffold marks."""
    return sum(len(find_regions(path, text)[0]) for path, text in sources.items())


def plan_notes(plan: StoredPlan) -> str:
    """A plan in Markdown, for whoever writes it."""
    record, marked = plan.record, regions_of(plan.sources)
    lines = [
        f"# Plan {plan.plan_id}",
        "",
        *(f"> {line}" for line in record.hypothesis.splitlines()),
        "",
        f"- forecast: {record.forecast}, against {record.parent or 'the baseline'}",
        *([f"- techniques: {', '.join(record.technique)}"] if record.technique else []),
        f"- change only what lies between {BEGIN} and {END}, {marked} of them; anything else is "
        "reported as a departure from the plan"
        if marked
        else "- no region is marked: anything may change",
    ]
    return "\n".join(lines)


def inherited_plan(archive: Archive, started_from: str) -> str:
    """The plan of the failed candidate or trial that a program is begun from; empty without one.

    To fix a failure is to carry its plan out. What begins from one that did not fail is a new idea.
    """
    try:
        node, _ = candidate_or_trial(archive, started_from)
    except HarnessError:
        return ""
    return node.plan if node.failed else ""


def check_plan(archive: Archive, plan_id: str, solution: Solution) -> AnchorCheck | None:
    """Whether a program stayed in the regions of its plan; None for a plan that marks none.

    Raises:
        RequestError: when there is no such plan.
    """
    plan = archive.plans.read(plan_id)
    if not any(BEGIN in text for text in plan.sources.values()):
        return None
    child = {source.path: source.content for source in solution.sources}
    report = check_change(plan.sources, child)
    return AnchorCheck(
        parent=plan.record.parent,
        plan=plan.plan_id,
        kept=report.ok,
        regions=len(report.regions),
        outside=[f"{p.path}:{p.line}: {one_line(p.words)}" for p in report.problems],
    )
