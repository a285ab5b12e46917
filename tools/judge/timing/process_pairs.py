"""The fresh processes that a timing is made in: pairs of candidate and baseline.

They are started before the correctness checks begin, so that contexts and builds come up in the
meantime; what one process of a candidate has compiled is laid into the others of the same one. A
process that does not come up costs its block and is noted, never held against the candidate.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ...messages.candidate import BuildRequest, Built
from ...messages.judge import EvaluatePlan
from ..calls.judged_call import JudgedCall
from ..operators.operator_adapter import Case, OperatorAdapter
from ..processes import triton_cache
from ..processes.candidate_process import CandidateSession
from ..processes.cleanup import COMPILED_KERNELS
from ..processes.context import JudgeContext
from ..processes.lost import ProcessLost

Spawn = Callable[[bool], tuple[CandidateSession, BuildRequest]]
Note = Callable[[str, str], None]


@dataclass
class ProcessPair:
    """A fresh pair of processes."""

    candidate: JudgedCall
    baseline: JudgedCall | None


class ProcessPairs:
    """Starts, joins and ends the processes of one timing.

    Args:
        plan, room, operator, rng: as for the trial.
        spawn: starts a further process, of the baseline when its argument is true.
    """

    def __init__(
        self,
        plan: EvaluatePlan,
        room: JudgeContext,
        operator: OperatorAdapter,
        rng: random.Random,
        spawn: Spawn,
    ) -> None:
        self._plan = plan
        self._room = room
        self._definition = operator.definition
        self._rng = rng
        self._spawn = spawn
        self._started: list[tuple[bool, JudgedCall]] = []
        self._blocks: list[ProcessPair] = []

    def start(self, cases: Sequence[Case]) -> None:
        """Starts all processes at once and asks each to build and to map its arena."""
        wanted = [False] * (self._plan.checks.blocks - 1)
        if self._plan.baseline is not None:
            wanted += [True] * self._plan.checks.blocks
        for baseline in wanted:
            session, request = self._spawn(baseline)
            self.give_kept(session, baseline=baseline)
            session.ask(request)
            exchange = JudgedCall(session, self._definition, self._room.device, self._rng)
            exchange.begin_map(list(cases))
            self._started.append((baseline, exchange))

    def give_kept(self, session: CandidateSession, *, baseline: bool = False) -> None:
        """Lays what earlier trials of the same content have compiled into a process."""
        kept, own = self._kept_cache(baseline=baseline), _cache_of(session)
        if kept is not None and own is not None:
            triton_cache.carry(kept, own)

    def keep(self, session: CandidateSession, *, baseline: bool = False) -> None:
        """Keeps what a process has compiled for later trials of the same content."""
        kept, own = self._kept_cache(baseline=baseline), _cache_of(session)
        if kept is not None and own is not None:
            kept.mkdir(parents=True, exist_ok=True)
            triton_cache.carry(own, kept)

    def ready(self, checked: JudgedCall, note: Note) -> list[ProcessPair]:
        """Waits for every process; the one that was checked is the first block's candidate."""
        up = [(b, e) for b, e in self._started if self._is_up(b, e, note)]
        candidates = [checked, *(e for baseline, e in up if not baseline)]
        baselines = [e for baseline, e in up if baseline]
        self._blocks = [
            ProcessPair(candidate, baselines[i] if i < len(baselines) else None)
            for i, candidate in enumerate(candidates)
        ]
        return self._blocks

    def share_compiled(self, block: ProcessPair) -> None:
        """Lays what the first block has compiled into another block's processes."""
        first = self._blocks[0]
        pairs = [(first.candidate, block.candidate)]
        if first.baseline is not None and block.baseline is not None:
            pairs.append((first.baseline, block.baseline))
        for source, target in pairs:
            there, here = _cache_of(source.session), _cache_of(target.session)
            if source is not target and there is not None and here is not None:
                triton_cache.carry(there, here)

    def close(self) -> None:
        """Ends every process that was started here, side by side."""
        first = self._blocks[0].baseline if self._blocks else None
        if first is not None:
            self.keep(first.session, baseline=True)
        if self._started:
            with ThreadPoolExecutor(len(self._started)) as pool:
                list(pool.map(lambda pair: pair[1].close(), self._started))
        self._started = []

    def _kept_cache(self, *, baseline: bool) -> Path | None:
        """Where the compiled kernels of one content are kept between trials."""
        digest = self._plan.baseline_hash if baseline else self._plan.content_hash
        return self._room.cache_dir / COMPILED_KERNELS / digest if digest else None

    def _is_up(self, baseline: bool, exchange: JudgedCall, note: Note) -> bool:
        built = exchange.session.answer(Built, self._plan.build_timeout_s)
        fault = (
            built.detail if isinstance(built, ProcessLost) else built.fault and built.fault.message
        )
        lost = exchange.mapped()
        if not fault and lost is None:
            return True
        exchange.close()
        who = "baseline" if baseline else "candidate"
        words = fault or (lost.detail if lost else "")
        note("processes", f"A fresh {who} process could not be used: {words[:300]}")
        return False


def _cache_of(session: CandidateSession) -> Path | None:
    """A real process has a Triton cache; a scripted one has none."""
    return getattr(session, "triton_cache", None)
