"""Rounds until a search is to stop: begun, resumed, and ended by whoever asks.

Each step is written before anything follows from it. Whatever this process was doing when it was
killed is found again: rounds that began and did not end are ended as interrupted, with what their
agents had evaluated, and cost a round each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from ...archive.search.tree import ROOT
from ...confinement import landlock
from ...errors import CapabilityError, HarnessError, RequestError
from ...harness import Harness
from ...schema.evaluation import Evaluation
from ...schema.search.made_by import MadeBy
from ...text import one_line
from ..clients.protocol import AgentCommand
from ..clients.table import require_installed
from ..lessons.summary import summarised, summary_due
from ..records.events import (
    RoundBegan,
    RoundEnd,
    RoundEnded,
    SearchBegan,
    SearchEnded,
    SearchEvent,
    SearchResumed,
    StartJudged,
)
from ..records.ledger import SearchLedger, SearchName
from ..records.options import PLAN, SearchOptions, round_seed
from ..records.spending import spent_on
from ..records.state import SearchState, state_of
from .agent_step import SearchParts, Serve, require_start, start_of
from .round_harness import DeviceBudget
from .search_folder import SearchFolder, searches_dir
from .search_round import NO_LIMIT_S, SearchRound, candidates_of

LOOKS_S = 0.5
"""How often a search looks whether it is to stop."""
FRUITLESS = 5
"""So many rounds one after the other that evaluated nothing end it: agents that fail, or that have
nothing left to change."""
FRUITLESS_ENDS = (RoundEnd.NOT_STARTED, RoundEnd.AGENT_FAILED, RoundEnd.NOTHING)
Show = Callable[["SearchState", "SearchParts"], None]
"""Shows a search as it is now."""


def show_nothing(state: SearchState, parts: SearchParts) -> None:
    """Shows nothing."""
    del state, parts


@dataclass
class UnattendedSearch:
    """One search and its process.

    Use `opened`, then `run`.
    """

    parts: SearchParts
    ledger: SearchLedger
    state: SearchState
    show: Show = show_nothing
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def opened(
        cls,
        harness: Harness,
        options: SearchOptions,
        agent: AgentCommand,
        serve: Serve,
        user_home: Path,
        show: Show = show_nothing,
        *,
        ledger: SearchLedger | None = None,
    ) -> UnattendedSearch:
        """A new search, of which nothing is done, or one that goes on.

        Args:
            options: of one that goes on, its limits may be other ones than before.
            ledger: the steps of one that goes on.

        Raises:
            RequestError: when it would never stop, or begins from what is no program.
            CapabilityError: when agents cannot be confined here, or the client is not installed.
        """
        require_an_end(options, agent)
        require_confinement(options)
        require_installed(agent)
        require_start(harness, options)
        if ledger is None:
            operator = harness.dataset.operator(options.definition)
            operator.require_workloads()
            options = options.model_copy(update={"definition": operator.name})
            ledger = _begun(harness, options, agent)
        state = state_of(ledger.events())
        parts = SearchParts(
            harness,
            options,
            agent,
            SearchFolder(searches_dir(harness.settings) / state.began.search_id),
            serve,
            lambda event: search.tell(event),
            DeviceBudget(options.device_seconds, time.time()),
            user_home,
        )
        search = cls(parts, ledger, state, show)
        return search

    async def tell(self, event: SearchEvent) -> None:
        """Writes a step and takes it in."""
        async with self._writing:
            await asyncio.to_thread(self.ledger.append, event)
            self.state.apply(event)
            self.parts.cost_usd = self.state.cost_usd or 0.0
            self.parts.evaluation_s = self.state.evaluation_s
        self.show(self.state, self.parts)

    async def run(self) -> SearchEnded:
        """Runs rounds until the search is to stop.

        Raises:
            RequestError: when another process runs it.
        """
        with self.parts.folder.held():
            self.parts.folder.begin()
            if len(self.state.rounds) or self.ledger.length() > 1:
                await self._resume()
            self.parts.budget.limit = self.parts.options.device_seconds
            self.parts.budget.used = self.state.spent.device_seconds
            self.parts.cost_usd = self.state.cost_usd or 0.0
            self.parts.evaluation_s = self.state.evaluation_s
            if hours := self.parts.options.hours:
                left = 3600 * hours - self.state.seconds_at(time.time())
                self.parts.ends_at = time.monotonic() + left
            self.parts.lessons = self.state.lessons
            if self.state.start is None:
                await self._start_judged()
            reason = await self._rounds()
            ended = SearchEnded(at=time.time(), reason=reason)
            await self.tell(ended)
            return ended

    async def _resume(self) -> None:
        lost = self.state.under_way
        options = self.parts.options
        numbers = [round_.began.number for round_ in lost]
        await self.tell(SearchResumed(at=time.time(), options=options, lost=numbers))
        for round_ in lost:
            found = await asyncio.to_thread(self._evaluated_in, round_.began)
            kept = candidates_of(self.parts, [e.evaluation_id for e in found])
            ended = SearchRound(self.parts, round_.began).ended(kept, found, 0.0)
            await self.tell(ended.model_copy(update={"end": RoundEnd.INTERRUPTED}))

    def _evaluated_in(self, began: RoundBegan) -> list[Evaluation]:
        """The evaluations of a round whose process died, by the label of its trials."""
        archive = self.parts.harness.archive
        rows = archive.trials.table.rows(
            "definition = ? AND at >= ?", [self.parts.options.definition, int(began.at)]
        )
        records = [archive.trials.read_at(row.ref, row.oid) for row in rows]
        return [r.evaluation for r in records if r.candidate.made_by.session == began.session]

    async def _start_judged(self) -> None:
        """Has the program that the search begins with judged and archived."""
        parts = self.parts
        harness, options = parts.harness, parts.options
        operator = harness.dataset.operator(options.definition)
        name = start_of(harness, options, "")
        try:
            start = harness.lookup.start(operator, name)
            if start is None:
                return
            request = harness.lookup.evaluation_request(solution=start, scope=options.scope)
            judged = (await harness.evaluations.evaluate(request, NO_LIMIT_S)).evaluation
            node = harness.archiving.archive_candidate(
                start,
                judged.evaluation_id,
                f"{name} as it is: what the search begins with",
                parents=[],
                made_by=MadeBy(client=parts.agent.name, session=self.state.began.search_id),
            ).node
        except HarnessError as error:  # rounds begin from it all the same
            await self.tell(StartJudged(at=time.time(), words=one_line(str(error), 300)))
            return
        spent = spent_on([judged] if parts.budget.count(judged) else [])
        await self.tell(
            StartJudged(
                at=time.time(),
                candidate=node.candidate_id,
                start_us=node.latency_us,
                spent=spent,
                words=node.outcome_words,
            )
        )

    # --- rounds -------------------------------------------------------------------------------

    async def _rounds(self) -> str:
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                reason = self._reason_to_stop()
                if not reason and summary_due(self.state, self.parts):
                    await self.tell(await summarised(self.state, self.parts))
                while not reason and len(running) < self.parts.options.parallel:
                    running.add(asyncio.create_task(self._round()))
                    await asyncio.sleep(0)  # it takes its number before the next one is begun
                    reason = self._reason_to_stop()
                if not running:
                    return reason
                done, running = await asyncio.wait(
                    running, timeout=LOOKS_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
                self.show(self.state, self.parts)
        finally:
            self.parts.stop.set()
            if running:
                await asyncio.wait(running)

    def _reason_to_stop(self) -> str:
        if self.parts.folder.stop_asked() or self.parts.stop.is_set():
            self.parts.stop.set()
            return "it was asked to stop"
        last = self.state.finished[-FRUITLESS:]
        fruitless = [r for r in last if r.end in FRUITLESS_ENDS and not r.evaluations]
        if len(fruitless) == FRUITLESS and self.parts.options.roles != [PLAN]:
            return f"{FRUITLESS} rounds in a row evaluated nothing: {last[-1].words}"
        if (
            len(last) == FRUITLESS
            and self.state.cost_usd is None
            and _cost_alone(self.parts.options)
        ):
            return f"{self.parts.agent.name} told of no cost, and nothing else would end the search"
        return self.state.reason_to_stop(time.time())

    async def _round(self) -> None:
        began = self._chosen()
        self.state.apply(began)  # so that its number is taken; `tell` would wait for git first
        async with self._writing:
            await asyncio.to_thread(self.ledger.append, began)
        ended = await SearchRound(self.parts, began).run()
        await self.tell(await asyncio.to_thread(self._with_best, ended))

    def _chosen(self) -> RoundBegan:
        """The next round: what it goes on from, by the search's policy."""
        options, number = self.parts.options, max(self.state.rounds, default=0) + 1
        seed = round_seed(options, number)
        archiving = self.parts.harness.archiving
        found = archiving.select_parent(options.definition, options.policy, seed)
        return RoundBegan(
            at=time.time(),
            number=number,
            parent="" if found.candidate_id == ROOT else found.candidate_id,
            role=found.role,
            why=one_line(found.why, 300),
            plan=found.plan,
            seed=seed,
            session=f"{self.state.began.search_id}/{number}",
        )

    def _with_best(self, ended: RoundEnded) -> RoundEnded:
        """The round's end with the search's best candidate after it."""
        archive, start = self.parts.harness.archive, self.state.start
        held = self.state.best
        names = [start.candidate if start else "", held.best if held else "", *ended.candidates]
        nodes = [n for n in archive.nodes(*dict.fromkeys(filter(None, names))) if n.verified]
        timed = [n for n in nodes if n.latency_us is not None]
        if not timed:
            return ended
        hardware = timed[0].hardware
        best = min((n for n in timed if n.hardware == hardware), key=lambda n: n.rank)
        shares = [w.sol_percent for w in archive.read(best).evaluation.workloads if w.sol_percent]
        before, after = start.start_us if start else None, best.latency_us
        speedup = before / after if before and after else None
        return ended.model_copy(
            update={
                "best": best.candidate_id,
                "best_us": best.latency_us,
                "best_speedup": speedup,
                "best_floor_percent": sum(shares) / len(shares) if shares else None,
            }
        )


def _begun(harness: Harness, options: SearchOptions, agent: AgentCommand) -> SearchLedger:
    """The steps of a new search: its beginning."""
    identity = f"s{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"
    ledger = SearchLedger(harness.archive.repository, SearchName(options.definition, identity).ref)
    ledger.append(
        SearchBegan(
            at=time.time(),
            search_id=identity,
            options=options,
            agent=agent.name,
            version=version("kernel-harness"),
        )
    )
    return ledger


def _cost_alone(options: SearchOptions) -> bool:
    """Whether nothing but its cost may end a search."""
    limits = (options.rounds, options.hours, options.device_seconds)
    return all(limit is None for limit in limits)


def require_an_end(options: SearchOptions, agent: AgentCommand) -> None:
    """Refuses a search that nothing would end.

    Raises:
        RequestError: naming what would.
    """
    client, limited = agent.client, options.cost_usd is not None
    if limited and client.model and not client.tells_cost:
        raise RequestError(
            f"{client.name} does not tell what it costs, so --cost would limit nothing",
            remedy="Give --rounds, --hours or --gpu-seconds; its tokens are counted.",
        )
    if _cost_alone(options) and not (limited and client.tells_cost):
        raise RequestError(
            "The search would never end",
            remedy="Give --rounds, --hours, --gpu-seconds or --cost, or several.",
        )


def require_confinement(options: SearchOptions) -> None:
    """Refuses to start agents that could write anywhere, unless that was asked for.

    Raises:
        CapabilityError: naming what the kernel lacks.
    """
    if options.confine and landlock.abi() == 0:
        raise CapabilityError(
            "This kernel has no Landlock, so agents cannot be confined to their workspaces",
            remedy="Use Linux 5.13 or later with Landlock on, a container, or --unconfined.",
        )
