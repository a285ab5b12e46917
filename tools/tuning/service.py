"""Variants evaluated: compiled together, thinned out, raced on a GPU, and the winners judged.

Without a GPU nothing is timed, and so nothing is raced: what compiling shows is all, unless each is
to be judged in the interpreter, too. Every evaluation on the way is a record and a trial in git.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..archive.search.dispatch.child import dispatching_child, holders_among
from ..archive.store.archive import Archive
from ..errors import HarnessError
from ..evaluation.judge_pool import JudgePool
from ..evaluation.plan import EvaluationRequest
from ..evaluation.service import EvaluationService
from ..progress import OnProgress, ignore_progress
from ..schema.evaluation import UNFAILED, Evaluation, Executor, Scope
from ..schema.flashinfer_trace import Definition, Language
from ..workloads.regimes import Regime, sample_shapes
from .compiling import compile_together
from .equal_code import alike, with_equal_code
from .pruning import pruned
from .race.finals import Lead
from .race.halving import Course, few_at_once
from .race.races import NO_LIMIT_S, DeviceRace, gaps_hide, timed
from .results import Dispatch, Tuned, VariantResult, VariantState
from .variants import Variant

COMPILED_FIRST = 24
"""So many Triton variants are compiled before they are raced, and fewer of which some may have one
machine code; others are built as fast one by one. CUDA is always compiled first: its builds are
kept."""
MOST_JUDGED = 8
"""Winners of regimes that are judged; each that fails there gives its place to the next."""


@dataclass(frozen=True)
class TuningRequest:
    """The variants of one operator, and how far the winners are judged.

    Attributes:
        base: of any of them; its solution is replaced. With scope static nothing is run.
        repeated: by name of a variant that was left out, the one that has its bytes.
        interpret: without a GPU, judge each in the interpreter.
    """

    variants: Sequence[Variant]
    base: EvaluationRequest
    repeated: Mapping[str, str] = field(default_factory=dict)
    interpret: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for requests that ask for the same."""
        contents = tuple(variant.content for variant in self.variants)
        base, pool = self.base, tuple(self.base.pool)
        return base.operator.name, base.command, base.force, pool, contents, self.interpret


class TuningService:
    """Evaluates variants on one device."""

    def __init__(self, evaluations: EvaluationService, pool: JudgePool, archive: Archive) -> None:
        self._evaluations, self._pool, self._archive = evaluations, pool, archive

    async def tune(self, request: TuningRequest, progress: OnProgress = ignore_progress) -> Tuned:
        """Evaluates the variants.

        Raises:
            DatasetError: when the operator has no workload.
            InfrastructureError: when the judge does not start.
        """
        request.base.operator.require_workloads()
        tuning = _Tuning(self._evaluations, self._pool, self._archive, request, progress)
        return await tuning.run()


class _Tuning:
    """One call's variants under way."""

    def __init__(
        self,
        evaluations: EvaluationService,
        pool: JudgePool,
        archive: Archive,
        request: TuningRequest,
        progress: OnProgress,
    ) -> None:
        self._evaluations, self._pool, self._archive = evaluations, pool, archive
        self._request = request
        self._base = request.base
        self._progress = progress
        self._steps = 3 * len(request.variants) + MOST_JUDGED
        self._results = {v.name: VariantResult(v) for v in request.variants}
        self._on_gpu = evaluations.executor is Executor.CUDA
        self._notes = family_notes(request.base.input_family)
        self._seconds: dict[str, float] = {}
        self._race = secrets.token_hex(8)

    async def run(self) -> Tuned:
        """Goes through the stages that this machine and the request allow."""
        # Their times are compared with one another's, and so are all of one device.
        devices = self._base.devices_among(self._evaluations.devices)
        async with self._pool.one_of(devices) as self._device:
            self._base = replace(self._base, devices=(self._device,))
            return await self._staged()

    async def _staged(self) -> Tuned:
        runs = self._base.scope is not Scope.STATIC
        with timed(self._seconds, "compile"):
            await self._compile(raced=runs and self._on_gpu)
        if runs and self._on_gpu:
            return await self._raced()
        if runs and self._request.interpret:
            with timed(self._seconds, "interpret"):
                await self._interpret()
        elif runs:
            self._notes.append(
                "There is no GPU: the variants were compiled and not run, and nothing here says "
                "which is the fastest. interpret=true judges each in the interpreter."
            )
        return self._tuned()

    async def _compile(self, *, raced: bool) -> None:
        """Compiles all, several together, and leaves out what need not be run."""
        variants = self._request.variants
        languages = {variant.solution.spec.language for variant in variants}
        native = bool(languages & {Language.CUDA, Language.CPP})
        if raced and not native and len(variants) < COMPILED_FIRST and not alike(variants):
            self._notes.append(
                "Nothing was compiled before the race; scope 'static' shows registers, spills and "
                "shared memory."
            )
            return
        target = await self._architecture() if self._on_gpu else None
        targets = self._base.targets or ([target] if target else [])
        changes = {"scope": Scope.STATIC, "targets": targets, "race": self._race if raced else ""}
        requests = [self._for(variant, **changes) for variant in variants]

        async def compiled(done: float, total: float, message: str) -> None:
            await self._progress(done, self._steps, message)

        found = await compile_together(
            self._evaluations, self._pool, self._device, requests, compiled
        )
        for variant, evaluation in zip(variants, found, strict=True):
            self._results[variant.name].take(evaluation)
        checks = {result.variant.name: result.static for result in self._left()}
        for name, words in pruned(checks, target).items():
            self._results[name].state, self._results[name].words = VariantState.PRUNED, words
        if raced:
            self._leave_out_equal_code()

    def _leave_out_equal_code(self) -> None:
        """Leaves out the variants whose machine code another one has."""
        left = self._left()
        checks = {result.variant.name: result.static for result in left}
        for name, other in with_equal_code([r.variant for r in left], checks).items():
            result = self._results[name]
            result.state, result.words = VariantState.PRUNED, f"same machine code as {other}"

    async def _architecture(self) -> str | None:
        """That of the device at hand; its judge is started where it does not run."""
        ready = self._pool.ready(self._device)
        if ready is None:
            async with self._pool.judge_of(
                self._device, "the start of its judge", self._progress
            ) as judge:
                ready = judge.ready
        capability = ready.device.get("compute_capability") if ready else None
        return f"sm_{str(capability).replace('.', '')}" if capability else None

    def _for(self, variant: Variant, **changes: Any) -> EvaluationRequest:
        came = {"started_from": variant.started_from, "plan": variant.plan}
        return replace(self._base, solution=variant.solution, **came, **changes)

    def _left(self) -> list[VariantResult]:
        """The results of the variants that are not out."""
        out = (VariantState.PRUNED, VariantState.FAILED)
        return [result for result in self._results.values() if result.state not in out]

    async def _interpret(self) -> None:
        due = self._left()
        for number, result in enumerate(due):
            step = len(self._results) + number
            await self._progress(step, self._steps, f"interpreting {result.variant.name}")
            request = self._for(result.variant, scope=Scope.SMOKE)
            result.take((await self._evaluations.evaluate(request, NO_LIMIT_S)).evaluation)

    async def _raced(self) -> Tuned:
        regimes = await asyncio.to_thread(self._regimes)
        entered = [result.variant for result in self._left()]
        first = len(self._results)

        async def ran(done: float, total: float, message: str) -> None:
            await self._progress(first + done, max(self._steps, first + done + 1), message)

        sealed = await asyncio.to_thread(gaps_hide, self._earlier_records(entered))
        if sealed:
            self._notes.append(
                "Gaps between a call's launches are longer than these: the race was timed on "
                "sealed replays, which take longer."
            )
        race = DeviceRace(self._evaluations, self._base, regimes, ran, sealed, identity=self._race)
        course = await race.run(entered)
        self._seconds |= race.seconds
        for name, evaluations in race.evaluations.items():
            result = self._results[name]
            for evaluation in evaluations:
                result.take(evaluation)
            result.times = dict(course.times.get(name, {}))
            if result.state is VariantState.PASSED:
                has_times = bool(result.times)
                result.state = VariantState.SLOWER if has_times else VariantState.UNDECIDED
                # That a run was of some workloads alone is true of all: it tells none apart.
                result.words = "" if has_times else result.words
        self._note_foretold(course)
        self._note_untold(course, race)
        with timed(self._seconds, "judge"):
            winners = await self._judge_winners(course, regimes)
        leads = self._leads_of(winners, race)
        judged = [result.judged for result in self._results.values() if result.judged]
        trials = [found.evaluation_id for found in judged if found.status in UNFAILED]
        definition = self._base.operator.definition
        dispatch = Dispatch()
        if not self._base.input_family:  # who is the fastest on inputs that do not rank decides not
            dispatch = await asyncio.to_thread(dispatch_of, self._archive, definition, trials)
        return self._tuned(
            regimes=regimes, winners=winners, leads=leads, dispatch=dispatch, runs=race.runs
        )

    def _earlier_records(self, entered: Sequence[Variant]) -> Iterator[Evaluation]:
        """What is recorded of the programs, the one that they vary first."""
        records = self._evaluations.records
        for solution in (self._base.solution, *(variant.solution for variant in entered)):
            for identity in records.of_content(solution.content_hash()):
                with contextlib.suppress(HarnessError):  # one that no harness wrote
                    yield records.get(identity)

    def _note_foretold(self, course: Course) -> None:
        """Leaves out the variants that were not run, and says why."""
        for name, ratio in course.foretold.items():
            result = self._results[name]
            result.state = VariantState.PRUNED
            result.words = f"not run: foretold to take {ratio:.2f} times the fastest's or more"
        if course.foretold:
            self._notes.append(
                f"{len(course.foretold)} variants were not run: the times of others that share "
                f"their values foretell at least {min(course.foretold.values()):.2f} times the "
                "fastest's. A call that names fewer values runs them."
            )

    def _note_untold(self, course: Course, race: DeviceRace) -> None:
        """Says where the last of a regime are in order by runs of their own."""
        left = {r: set(names) - course.out for r, names in course.finalists.items()}
        untold = [r for r, names in left.items() if len(names) > 1 and not race.leads.get(r)]
        if untold:
            self._notes.append(
                f"On {', '.join(untold)} no calls in turn could be timed: the first is so by runs "
                "of their own, which differ by several per cent."
            )

    def _regimes(self) -> list[Regime]:
        latencies = self._evaluations.latencies.of_one_program(self._base.operator.name)
        return sample_shapes(self._base.operator, latencies or None).regimes

    async def _judge_winners(self, course: Course, regimes: Sequence[Regime]) -> dict[str, str]:
        """Judges the fastest of each regime; the place of one that fails goes to the next."""
        winners: dict[str, str] = {}
        left = MOST_JUDGED
        while left:
            first = {regime.name: course.ranking(regime.name) for regime in regimes}
            winners = {regime: names[0] for regime, names in first.items() if names}
            due = [n for n in dict.fromkeys(winners.values()) if not self._results[n].judged]
            if not due:
                break
            await few_at_once(self._judge(course, name) for name in due[:left])
            left -= len(due[:left])
        winners = {r: n for r, n in winners.items() if self._won(n)}
        for name in dict.fromkeys(winners.values()):
            won = [regime for regime, winner in winners.items() if winner == name]
            self._results[name].state = VariantState.FASTEST
            self._results[name].words = f"on {', '.join(won)}"
        return winners

    async def _judge(self, course: Course, name: str) -> None:
        result = self._results[name]
        await self._progress(self._steps - 1, self._steps, f"judging {name}")
        request = self._for(result.variant)
        evaluation = (await self._evaluations.evaluate(request, NO_LIMIT_S)).evaluation
        result.take(evaluation)
        result.judged = evaluation
        if evaluation.status not in UNFAILED:
            course.out.add(name)

    def _leads_of(self, winners: Mapping[str, str], race: DeviceRace) -> dict[str, list[Lead]]:
        """The leads of the winners over who came near them; who is tied with one is marked so."""
        found = {
            regime: [lead for lead in race.leads.get(regime, ()) if lead.first == winner]
            for regime, winner in winners.items()
        }
        for regime, leads in found.items():
            for lead in leads:
                other = self._results[lead.second]
                if lead.tied and other.state in (VariantState.SLOWER, VariantState.TIED):
                    so_far = f"{other.words}; " if other.state is VariantState.TIED else ""
                    other.state = VariantState.TIED
                    other.words = f"{so_far}with {lead.first} on {regime}"
        return found

    def _won(self, name: str) -> bool:
        judged = self._results[name].judged
        return judged is not None and judged.status in UNFAILED

    def _tuned(self, **found: Any) -> Tuned:
        repeated = self._request.repeated
        if repeated:
            names = ", ".join(f"{name} (as {other})" for name, other in list(repeated.items())[:6])
            said = "1 variant has" if len(repeated) == 1 else f"{len(repeated)} variants have"
            self._notes.append(f"{said} the bytes of another: {names}.")
        return Tuned(
            self._base.operator.name,
            list(self._results.values()),
            notes=tuple(self._notes),
            seconds=dict(self._seconds),
            **found,
        )


def family_notes(family: str) -> list[str]:
    """What times on inputs other than those that rank are worth, in words; none for those."""
    if not family:
        return []
    return [f"Timed on inputs {family}, which rank nowhere: judge the winner on the ranked ones."]


def dispatch_of(archive: Archive, definition: Definition, trials: Sequence[str]) -> Dispatch:
    """Combines the trials of these evaluations, where choosing between them by size gains."""
    if len(trials) < 2:
        return Dispatch()
    try:
        found = holders_among(archive, trials)
        if found is not None and len(found.holders) > 1:
            dispatching_child(archive, definition, found)
        return Dispatch(found)
    except HarnessError as error:
        return Dispatch(words=str(error))
