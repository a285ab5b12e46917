"""One round of the built-in agent: variants of a program written, raced by the server, and kept.

On a GPU all are raced in one call, with the program as it is among them; whoever is the fastest is
judged against the parent and archived, and so is who wins at some sizes only. Where that gains
little any more, the record holders of all sizes are put together. Without a GPU each is judged in
the interpreter, and nothing is known to be faster. What every edit gave stands in the lesson, or
where nothing was gained in a note on the parent.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...schema.evaluation import UNDECIDED, UNFAILED, Status
from ...text import counted
from ...workloads.solution_folder import read_candidate_file, read_solution
from ..round_facts import RoundFacts
from .mcp_session import ToolRefusal
from .memory import EditEnd, EditOutcome, outcome_line, outcome_of, outcomes_in
from .proposals import Proposal, proposals
from .python_numbers import tune_edits

VARIANTS = 22
"""A round. With the program itself too few to be compiled before they are raced."""
SECONDS = 3.5
"""For a variant, with its share of the judging of winners: 2.4 to 3.3 were seen on an H200."""
OF_EVALUATIONS = 2.5
"""Or as long as so many evaluations of the search had the device, once some are known."""
FEWEST = 2
INTERPRETED = 3
"""Variants a round without a GPU: each is seconds of the interpreter."""
MEMORY = 50
"""Newest candidates whose lessons are read."""
LEAST_GAIN = 1.005
LITTLE_GAIN = 1.03
"""With less than this over all sizes a round ends with a dispatch between the record holders."""
DISPATCHED = "Choosing between the fastest by size is faster than one for all"
UNKNOWN = UNDECIDED | {Status.TIMEOUT}
"""Without a GPU: what is too slow for the interpreter may be the fastest on a device."""
UNDECIDED_STATE = "undecided"
INTERPRETER = "interpreter"


class ToolCalls(Protocol):
    """Calls tools of the server."""

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer.

        Raises:
            ToolRefusal: when it answers with an error.
        """
        ...


@dataclass
class TuningRound:
    """A round under way.

    Args:
        folder: the working folder; every workspace of the round lies in it.
        count: most variants.
    """

    tools: ToolCalls
    folder: Path
    facts: RoundFacts
    count: int = VARIANTS
    tried: dict[str, Proposal] = field(default_factory=dict)

    async def run(self) -> str:
        """Runs the round; returns what came of it in a sentence."""
        machine = await self.tools.call("check_environment")
        timed = machine.get("executor") != INTERPRETER
        main = self.folder / self.facts.workspace
        said = read_candidate_file(main)
        solution = read_solution(main, said=said)
        named = tune_edits(solution, said.tune)
        sources = {source.path: source.content for source in solution.sources}
        known, here = await self._memory()
        count = self._count() if timed else min(self.count, INTERPRETED)
        for number, found in enumerate(
            proposals(sources, known, here, count, self.facts.seed, named), start=1
        ):
            name = f"v{number:02d}"
            self._write(name, found.sources)
            self.tried[name] = found
        if not self.tried:
            return "Nothing of this program is left to change."
        return await (self._raced() if timed else self._interpreted())

    def _count(self) -> int:
        """How many variants what is left allows: of time, or the race is cut off; of the device."""
        known = self.facts.evaluation_s
        each = OF_EVALUATIONS * known if known else SECONDS
        limits = (self.facts.seconds, self.facts.device_seconds)
        most = [int(left / each) for left in limits if left is not None]
        return max(FEWEST, min([self.count, *most]))

    def _write(self, name: str, sources: Mapping[str, str]) -> None:
        folder = self.folder / name
        shutil.copytree(self.folder / self.facts.workspace, folder, dirs_exist_ok=True)
        for path, text in sources.items():
            (folder / path).write_text(text, encoding="utf-8")

    async def _memory(self) -> tuple[list[EditOutcome], list[EditOutcome]]:
        """Outcomes on any program of the operator, and those on the parent."""
        found = await self.tools.call(
            "search_archive", definition=self.facts.definition, limit=MEMORY, detail="detailed"
        )
        lessons = [str(part.get("lesson") or "") for part in found.get("candidates", ())]
        here: list[str] = []
        if self.facts.parent:
            window = await self.tools.call(
                "get_context", role="plan", candidate_id=self.facts.parent
            )
            for entry in window.get("entries", ()):
                words = str(entry.get("lesson") or "")
                lessons.append(words)
                if entry.get("relation") in ("node", "child"):
                    here.append(words)
        return outcomes_in(dict.fromkeys(lessons)), outcomes_in(here)

    # --- on a GPU -----------------------------------------------------------------------------

    async def _raced(self) -> str:
        names = [self.facts.workspace, *self.tried]
        raced = await self.tools.call(
            "evaluate_variants",
            workspaces=names,
            scope=self.facts.scope,
            compare_to=self.facts.compare_to or None,
        )
        times: Mapping[str, Mapping[str, float]] = raced.get("times", {})
        gains = gains_over(times, self.facts.workspace)
        lesson = outcome_line(self._outcomes(raced.get("states", {}), gains))
        winners = {w["variant"]: w["evaluation_id"] for w in raced.get("winners", ())}
        kept = await self._kept(winners, gains, lesson)
        if not kept:
            await self._nothing_gained(lesson)
        put = max(gains.values(), default=0.0) < LITTLE_GAIN and await self._dispatched()
        said = f"{counted(len(self.tried), 'variant')} raced, {len(kept) or 'none'} kept"
        return f"{said}, and a dispatch between record holders." if put else f"{said}."

    def _outcomes(self, states: Mapping[str, str], gains: Mapping[str, float]) -> list[EditOutcome]:
        """What became of the edits that were tried alone; of one undecided nothing is known."""
        decided = {name: state for name, state in states.items() if state != UNDECIDED_STATE}
        ends = {str(end): end for end in EditEnd}
        return [
            outcome_of(proposal.edits[0], gains.get(name), ends.get(decided[name], EditEnd.RIGHT))
            for name, proposal in self.tried.items()
            if len(proposal.edits) == 1 and name in decided
        ]

    async def _kept(
        self, winners: Mapping[str, str], gains: Mapping[str, float], lesson: str
    ) -> dict[str, str]:
        """Archives who won, and who is the fastest over all sizes; the candidates by variant."""
        due = {name: winners[name] for name in winners if name in self.tried}
        best = max(gains, key=lambda name: gains[name], default=None)
        if best in self.tried and best not in due and gains[best] >= LEAST_GAIN:
            with contextlib.suppress(ToolRefusal):  # the budget is used up
                due[best] = await self._judged(best)
        kept = {}
        for name, evaluation_id in due.items():
            gain = gains.get(name)
            said = f"{self.tried[name].label}: x{gain:.3f} in the race. " if gain else ""
            kept[name] = await self._archive(name, evaluation_id, said + lesson)
        return kept

    async def _archive(self, name: str, evaluation_id: str, lesson: str) -> str:
        proposal = self.tried.get(name)
        edits = proposal.edits if proposal else ()
        changed = "; ".join(f"{e.site} {e.was or 'unset'} → {e.value or 'unset'}" for e in edits)
        archived = await self.tools.call(
            "archive_candidate",
            workspace=name,
            evaluation_id=evaluation_id,
            hypothesis=changed or DISPATCHED,
            lesson=lesson[:4_000] or None,
            tags=list(dict.fromkeys(str(e.kind) for e in edits)) or ["dispatch"],
        )
        return str(archived["candidate_id"])

    async def _dispatched(self) -> bool:
        """Has the child that chooses between the record holders judged and archived, if any."""
        name = "dispatch"
        try:
            opened = await self.tools.call(
                "open_workspace",
                definition=self.facts.definition,
                name=name,
                start_from="dispatch",
            )
            judged = await self._judged(name)
            await self._archive(name, judged, f"Started from {opened.get('started_from')}.")
        except ToolRefusal:
            return False  # no program can be written that chooses, or one holds every record
        return True

    async def _judged(self, name: str) -> str:
        """The id of a judged evaluation of a workspace, against what the round compares with."""
        judged = await self.tools.call(
            "evaluate_kernel",
            workspace=name,
            scope=self.facts.scope,
            compare_to=self.facts.compare_to or None,
        )
        return str(judged["evaluation_id"])

    async def _nothing_gained(self, lesson: str) -> None:
        if self.facts.parent and lesson:
            await self.tools.call(
                "amend_candidate", candidate_id=self.facts.parent, note=lesson[:4_000]
            )

    # --- without one --------------------------------------------------------------------------

    async def _interpreted(self) -> str:
        outcomes: list[EditOutcome] = []
        right: list[tuple[str, str]] = []
        for name, proposal in self.tried.items():
            judged = await self.tools.call("evaluate_kernel", workspace=name, scope="smoke")
            status = Status(judged["status"])
            passed = status in UNFAILED
            if len(proposal.edits) == 1 and (passed or status not in UNKNOWN):
                end = EditEnd.RIGHT if passed else EditEnd.FAILED
                outcomes.append(outcome_of(proposal.edits[0], None, end))
            if passed:
                right.append((name, judged["evaluation_id"]))
        lesson = outcome_line(outcomes)
        if right:
            await self._archive(*right[0], lesson)
        else:
            await self._nothing_gained(lesson)
        judged = counted(len(self.tried), "variant")
        return f"{judged} judged without a GPU: {len(right)} right, none timed."


def gains_over(times: Mapping[str, Mapping[str, float]], control: str) -> dict[str, float]:
    """By variant, the geometric mean over regimes of the control's time over its own."""
    before = times.get(control, {})
    gains = {}
    for name, after in times.items():
        ratios = [math.log(before[r] / after[r]) for r in after if r in before and after[r] > 0]
        if ratios and name != control:
            gains[name] = math.exp(sum(ratios) / len(ratios))
    return gains
