"""One round: a workspace opened, agents started in it, and the result taken from the records.

Whatever an agent says, only what the server judged counts. What it leaves in its workspace is
judged here where it did not ask for that itself, and archived with what it was derived from.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...archive.store.entry import Node
from ...errors import HarnessError
from ...harness import Harness
from ...schema.evaluation import UNDECIDED, Evaluation, Scope, Status
from ...schema.search.made_by import MadeBy
from ...text import one_line
from ...workloads.solution_folder import read_candidate_file, read_solution
from ...workloads.workspace import make_workspace
from ..clients.usage import Usage, last_words
from ..processes.agent_process import AgentEnd, AgentRun
from ..records.events import RoundBegan, RoundEnd, RoundEnded, StepEnded
from ..records.spending import Spending, spent_on
from .agent_step import MAIN, TEMPLATE, Endpoint, SearchParts, agent_step, roles_started, start_of
from .round_harness import RoundHarness, RoundMeter

if TYPE_CHECKING:
    from ...schema.flashinfer_trace import Solution

LONGEST_WORDS = 300
NO_LIMIT_S = 86_400.0
_ENDS = {
    AgentEnd.DONE: None,
    AgentEnd.FAILED: RoundEnd.AGENT_FAILED,
    AgentEnd.TIME: RoundEnd.OUT_OF_TIME,
    AgentEnd.STOPPED: RoundEnd.STOPPED,
    AgentEnd.NOT_STARTED: RoundEnd.NOT_STARTED,
}
_WIDTH = (Scope.SMOKE, Scope.SAMPLE, Scope.FULL, Scope.OFFICIAL)


class SearchRound:
    """A round under way."""

    def __init__(self, parts: SearchParts, began: RoundBegan) -> None:
        self._parts, self._began = parts, began
        self._folders = parts.folder.round(began.number)
        self._meter = RoundMeter(parts.budget)
        self._usage, self._agent_seconds = Usage(), 0.0
        self._fault: RoundEnd | None = None
        self._words = ""

    async def run(self) -> RoundEnded:
        """Plays the round to its end; a failure of the harness in it costs the round, too."""
        parts, began = self._parts, self._began
        started = time.time()
        kept: list[Node] = []
        try:
            self._folders.make()
            harness = RoundHarness(parts.harness, self._folders.work, began.session, self._meter)
            start = await asyncio.to_thread(self._open)
            async with parts.serve(harness) as endpoint:
                await self._agents(endpoint)
            parts.activity[began.number] = "judging"
            await self._judge_last_state(harness, start)
            kept = await asyncio.to_thread(self._archived, start)
        except HarnessError as error:
            self._fault, self._words = self._fault or RoundEnd.NOTHING, str(error)
        finally:
            self._folders.forget_log_ins()
            parts.activity.pop(began.number, None)
        return self.ended(kept, self._meter.evaluations, time.time() - started)

    def ended(
        self, kept: Sequence[Node], evaluations: Sequence[Evaluation], wall_s: float
    ) -> RoundEnded:
        """The round's last step."""
        spent = spent_on(evaluations).plus(
            Spending(agent_seconds=self._agent_seconds, wall_seconds=wall_s, usage=self._usage)
        )
        refused = self._meter.refused and not kept and not self._fault
        end = RoundEnd.OUT_OF_BUDGET if refused else self._fault
        return RoundEnded(
            at=time.time(),
            number=self._began.number,
            end=end or (RoundEnd.KEPT if kept else RoundEnd.NOTHING),
            candidates=[node.candidate_id for node in kept],
            outcomes=[str(node.outcome) for node in kept],
            evaluations=[evaluation.evaluation_id for evaluation in evaluations],
            spent=spent,
            words=one_line(self._words, LONGEST_WORDS),
        )

    def _open(self) -> Solution:
        """Makes the round's workspace; returns the program that it begins with."""
        parts, began = self._parts, self._began
        harness, options = parts.harness, parts.options
        operator = harness.dataset.operator(options.definition)
        plan = began.plan or None
        name = TEMPLATE if plan else start_of(harness, options, began.parent)
        start = harness.lookup.workspace_start(operator, name, plan)
        make_workspace(self._folders.work, operator, MAIN, start)
        return read_solution(self._folders.work / MAIN)

    # --- agents -------------------------------------------------------------------------------

    async def _agents(self, endpoint: Endpoint) -> None:
        limit_s = 60 * self._parts.options.round_minutes
        deadline = time.monotonic() + min(limit_s, self._parts.seconds_left)
        for role in roles_started(self._parts.options, self._began.role):
            if self._fault is None:
                await self._step(role, endpoint, deadline - time.monotonic())

    async def _step(self, role: str, endpoint: Endpoint, limit_s: float) -> None:
        run = await agent_step(self._parts, self._began, role, self._folders, endpoint, limit_s)
        await self._note(role, run)

    async def _note(self, role: str, run: AgentRun) -> None:
        usage = self._parts.agent.client.read_usage(run.output)
        self._usage, self._agent_seconds = (
            self._usage.plus(usage),
            self._agent_seconds + run.seconds,
        )
        self._fault = _ENDS[run.end]
        failed = run.end in (AgentEnd.FAILED, AgentEnd.NOT_STARTED)
        said = run.errors.strip() if failed else ""
        said = said or last_words(run.output)
        self._words = one_line(said.strip()[-LONGEST_WORDS:], LONGEST_WORDS)
        await self._parts.tell(
            StepEnded(
                at=time.time(),
                number=self._began.number,
                role=role,
                end=str(run.end),
                status=run.status,
                seconds=run.seconds,
                usage=usage,
                words=self._words,
            )
        )

    # --- results ------------------------------------------------------------------------------

    async def _judge_last_state(self, harness: Harness, start: Solution) -> None:
        """Judges what the agent left, unless it had that judged itself."""
        last = read_solution(self._folders.work / MAIN)
        if last.content_hash() == start.content_hash() or self._of(last) is not None:
            return
        if last.definition != start.definition:
            raise HarnessError(f"The workspace is now of {last.definition}", where=MAIN)
        request = harness.lookup.evaluation_request(
            workspace=MAIN,
            scope=self._parts.options.scope,
            compare_to=self._began.parent or None,
            made_by=MadeBy(session=self._began.session),
        )
        found = await harness.evaluations.evaluate(request, NO_LIMIT_S)
        if found.earlier:
            self._words = f"It left what was judged before, {found.evaluation.evaluation_id}"

    def _of(self, solution: Solution) -> Evaluation | None:
        """The widest evaluation of these bytes in the round that decided something."""
        identity = solution.content_hash()
        found = [
            e
            for e in self._meter.evaluations
            if e.content_hash == identity and e.scope in _WIDTH and e.status not in UNDECIDED
        ]
        return max(found, key=lambda e: _WIDTH.index(e.scope), default=None) or next(
            (
                e
                for e in reversed(self._meter.evaluations)
                if e.content_hash == identity and e.status is Status.PARTIAL
            ),
            None,
        )

    def _archived(self, start: Solution) -> list[Node]:
        """The candidates of the round: what its agent archived, and what it left."""
        parts, archive = self._parts, self._parts.harness.archive
        main = self._folders.work / MAIN
        last = read_solution(main)
        judged = self._of(last)
        said = read_candidate_file(main)
        if judged is not None and last.content_hash() != start.content_hash():
            known = archive.synced.current().nodes("evaluation_id = ?", [judged.evaluation_id])
            if not known:
                described = (
                    said.description if said.description != _opened(said.started_from) else ""
                )
                parts.harness.archiving.archive_candidate(
                    last,
                    judged.evaluation_id,
                    described or self._words or f"By {parts.agent.name}, who said nothing of it",
                    parents=[self._began.parent] if self._began.parent else [],
                    tags=said.technique,
                    started_from=said.started_from,
                    plan=said.plan,
                    made_by=self._made_by(),
                )
        return candidates_of(parts, [e.evaluation_id for e in self._meter.evaluations])

    def _made_by(self) -> MadeBy:
        return MadeBy(client=self._parts.agent.name, session=self._began.session)


def _opened(started_from: str | None) -> str:
    """What a new workspace says of itself."""
    return f"Started from {started_from}."


def candidates_of(parts: SearchParts, evaluations: Sequence[str]) -> list[Node]:
    """The archived candidates of some evaluations, oldest first."""
    index = parts.harness.archive.synced.current()
    found: list[Node] = []
    for begin in range(0, len(evaluations), 500):
        some = evaluations[begin : begin + 500]
        found += index.nodes(f"evaluation_id IN ({','.join('?' * len(some))})", list(some))
    return sorted(found, key=lambda node: (node.at, node.candidate_id))
