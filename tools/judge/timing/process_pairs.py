"""Starts the fresh processes of a timing, in pairs of candidate and baseline.

Latency varies more between processes than within one (memory placement), so calls are timed in
several pairs. They are started before the correctness checks, so that contexts and builds are ready
by the time they are needed. Kernels compiled by one process are copied to the others with the same
sources, within this trial: what a candidate's process wrote is given to none of a later trial, but
for runs of one race to one another. Only those of the operator's own baseline are kept, from
processes in which nothing else ran, and from none of a race; their launchers go to candidates, too.
A process that cannot be used costs its pair and is noted; the candidate is not blamed.
"""

from __future__ import annotations

import contextlib
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
from ..processes.cleanup import BASELINE_KERNELS
from ..processes.context import JudgeContext
from ..processes.lost import ProcessLost

Spawn = Callable[[bool], tuple[CandidateSession, BuildRequest]]
Note = Callable[[str, str], None]


@dataclass
class ProcessPair:
    """A candidate process and a baseline process, both fresh."""

    candidate: JudgedCall
    baseline: JudgedCall | None


class ProcessPairs:
    """Starts and ends the processes of one timing.

    Args:
        spawn: starts a process, of the baseline when its argument is true.
        saves_kernels: whether the baseline's compiled kernels are kept for later trials.
    """

    def __init__(
        self,
        plan: EvaluatePlan,
        context: JudgeContext,
        operator: OperatorAdapter,
        rng: random.Random,
        spawn: Spawn,
        *,
        saves_kernels: bool = True,
    ) -> None:
        self._saves_kernels = saves_kernels
        self._plan = plan
        self._context = context
        self._definition = operator.definition
        self._rng = rng
        self._spawn = spawn
        self._started: list[tuple[bool, JudgedCall]] = []
        self._pairs: list[ProcessPair] = []
        self._compiling: CandidateSession | None = None
        own = plan.own_baseline_hash
        self._own_kernels = context.cache_dir / BASELINE_KERNELS / own if own else None
        # In a race it is given what a candidate wrote: it raced before it is met as a baseline.
        kept = plan.baseline_hash == own and not plan.race
        self._kept = self._own_kernels if kept else None

    def start(self, cases: Sequence[Case]) -> None:
        """Starts all processes, has each build and map its arena, without waiting; only once."""
        if self._started:
            return
        baselines = [False] * (self._plan.checks.blocks - 1)
        if self._plan.baseline is not None:
            baselines += [True] * self._plan.checks.blocks
        for baseline in baselines:
            session, request = self._spawn(baseline)
            if baseline:
                self.restore_kernels(session)
            session.ask(request)
            judged_call = JudgedCall(
                session,
                self._definition,
                self._context.device,
                self._rng,
                by_destination=request.destination_passing_style,
            )
            judged_call.begin_map(list(cases))
            self._started.append((baseline, judged_call))

    def restore_kernels(self, session: CandidateSession) -> None:
        """Copies the kernels that earlier trials compiled to a process of the baseline.

        Of another baseline than the operator's own none are kept but within a race; it gets the
        launchers.
        """
        own = _cache_of(session)
        if self._kept is None:
            self._give(session, self._plan.baseline_hash)
        elif own is not None:
            triton_cache.copy_kernels(self._kept, own)
            self._compiling = self._compiling or session

    def give_kernels(self, session: CandidateSession) -> None:
        """Copies the launchers of the operator's own baseline to a process of the candidate.

        Within a race it gets the kernels that earlier runs of the same sources compiled, too.
        """
        self._give(session, self._plan.content_hash)

    def _give(self, session: CandidateSession, content_hash: str | None) -> None:
        own, race = _cache_of(session), self._plan.race
        if own is None:
            return
        if race:
            self._context.race_kernels.give(race, content_hash, own)
        if self._own_kernels is not None:
            triton_cache.copy_launchers(self._own_kernels, own)

    def save_kernels(self) -> None:
        """Saves the compiled kernels of the baseline's first process for later trials, if it can.

        What ends processes and frees memory comes after it, and must.
        """
        own = _cache_of(self._compiling) if self._compiling is not None else None
        if self._kept is not None and self._saves_kernels and own is not None:
            with contextlib.suppress(OSError):  # as what cannot be copied is skipped
                self._kept.mkdir(parents=True, exist_ok=True)
            triton_cache.copy_kernels(own, self._kept)

    def ready(self, checked: JudgedCall, note: Note) -> list[ProcessPair]:
        """Waits for every process; the checked process is the candidate of the first pair."""
        up = [(b, e) for b, e in self._started if self._is_up(b, e, note)]
        candidates = [checked, *(e for baseline, e in up if not baseline)]
        baselines = [e for baseline, e in up if baseline]
        self._pairs = [
            ProcessPair(candidate, baselines[i] if i < len(baselines) else None)
            for i, candidate in enumerate(candidates)
        ]
        return self._pairs

    def share_compiled(self, pair: ProcessPair) -> None:
        """Copies the kernels that the first pair has compiled to another pair."""
        first = self._pairs[0]
        pairs = [(first.candidate, pair.candidate)]
        if first.baseline is not None and pair.baseline is not None:
            pairs.append((first.baseline, pair.baseline))
        for source, target in pairs:
            copy_compiled(source.session, target.session)

    def close(self) -> None:
        """Ends every process that was started here, in parallel."""
        if self._started:
            self.save_kernels()
            with ThreadPoolExecutor(len(self._started)) as pool:
                list(pool.map(lambda started: started[1].close(), self._started))
        self._started = []

    def _is_up(self, baseline: bool, judged_call: JudgedCall, note: Note) -> bool:
        built = judged_call.session.answer(Built, self._plan.build_timeout_s)
        fault = (
            built.detail if isinstance(built, ProcessLost) else built.fault and built.fault.message
        )
        lost = judged_call.mapped()
        if not fault and lost is None:
            return True
        judged_call.close()
        who = "baseline" if baseline else "candidate"
        words = fault or (lost.detail if lost else "")
        note("processes", f"A fresh {who} process could not be used: {words[:300]}")
        return False


def copy_compiled(source: CandidateSession, target: CandidateSession) -> None:
    """Copies the kernels that a process has compiled to another of the same program and trial."""
    there, here = _cache_of(source), _cache_of(target)
    if source is not target and there is not None and here is not None:
        triton_cache.copy_kernels(there, here)


def _cache_of(session: CandidateSession) -> Path | None:
    """A real process has a Triton cache; a scripted one has none."""
    return getattr(session, "triton_cache", None)
