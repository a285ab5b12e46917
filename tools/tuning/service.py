"""Variants evaluated: compiled together, thinned out, raced on a GPU, and the winners judged.

Without a GPU nothing is timed, and so nothing is raced: what compiling shows is all, unless each is
to be judged in the interpreter, too. Every evaluation on the way is a record and a trial in git.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from ..archive.search.dispatch.child import dispatching_child, holders_among
from ..archive.search.record_holders import VirtualBest
from ..archive.store.archive import Archive
from ..errors import HarnessError
from ..evaluation.judge_pool import JudgePool
from ..evaluation.plan import EvaluationRequest
from ..evaluation.service import EvaluationService
from ..progress import OnProgress, ignore_progress
from ..schema.evaluation import UNDECIDED, UNFAILED, Evaluation, Executor, Scope, StaticCheck
from ..schema.flashinfer_trace import Definition, Language
from ..workloads.regimes import Regime, sample_shapes
from .compiling import compile_together
from .pruning import pruned
from .race.halving import Course, RaceTime
from .race.races import NO_LIMIT_S, DeviceRace, gaps_hide
from .variants import Variant

COMPILED_FIRST = 24
"""So many Triton variants are compiled before they are raced; fewer are built as fast one by one,
and compile again for every process. CUDA is always compiled first: its builds are kept."""
MOST_JUDGED = 8
"""Winners of regimes that are judged; each that fails there gives its place to the next."""


class VariantState(StrEnum):
    """How far a variant came."""

    FASTEST = "fastest"
    """In one regime or more; it was judged."""
    SLOWER = "slower"
    PASSED = "passed"
    """Judged in the interpreter, without a time."""
    COMPILED = "compiled"
    """Built for targets and not run."""
    PRUNED = "pruned"
    FAILED = "failed"
    UNDECIDED = "undecided"
    """Nothing was found out: the machine lacks something, or the harness failed."""


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


@dataclass
class VariantResult:
    """What became of one variant.

    Attributes:
        words: why it was left out or failed, or where it is the fastest.
        times: by regime, the last that were measured in the race.
        evaluations: ids of its records, the last first.
        judged: the record of a winner.
    """

    variant: Variant
    state: VariantState = VariantState.UNDECIDED
    words: str = ""
    static: StaticCheck | None = None
    times: dict[str, RaceTime] = field(default_factory=dict)
    evaluations: list[str] = field(default_factory=list)
    judged: Evaluation | None = None

    def take(self, evaluation: Evaluation) -> None:
        """Notes a record, and how far it shows that the variant came."""
        self.evaluations.insert(0, evaluation.evaluation_id)
        if evaluation.static is not None and evaluation.static.kernels:
            self.static = evaluation.static
        failure = evaluation.failure
        if evaluation.status in UNFAILED:
            ran = evaluation.scope is not Scope.STATIC
            self.state = VariantState.PASSED if ran else VariantState.COMPILED
            self.words = evaluation.partial_reason or "" if ran else ""
            return
        undecided = evaluation.status in UNDECIDED
        self.state = VariantState.UNDECIDED if undecided else VariantState.FAILED
        said = failure.message if failure else ""
        self.words = f"{evaluation.status}: {said}"


@dataclass(frozen=True)
class Dispatch:
    """Winners together, as a program that chooses between them by size.

    Attributes:
        found: who is the fastest at which size; None where fewer than two were judged.
        words: why no program can be written that chooses.
    """

    found: VirtualBest | None = None
    words: str = ""


@dataclass(frozen=True)
class Tuned:
    """What became of all variants.

    Attributes:
        winners: by regime, the name of the fastest.
        runs: evaluations that ran a variant in the race.
        notes: what was not looked at, and why.
    """

    definition: str
    results: Sequence[VariantResult]
    regimes: Sequence[Regime] = ()
    winners: Mapping[str, str] = field(default_factory=dict)
    dispatch: Dispatch = Dispatch()
    runs: int = 0
    notes: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


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
        self._device = next(iter(request.base.pool), evaluations.device)
        self._notes = family_notes(request.base.input_family)
        self._seconds: dict[str, float] = {}

    async def run(self) -> Tuned:
        """Goes through the stages that this machine and the request allow."""
        # Their times are compared with one another's, and so are all of one device.
        device = await self._pool.one_of(self._base.devices_among(self._evaluations.devices))
        self._base = replace(self._base, devices=(device,))
        runs = self._base.scope is not Scope.STATIC
        await self._timed("compile", self._compile(raced=runs and self._on_gpu))
        if runs and self._on_gpu:
            return await self._timed("race", self._raced())
        if runs and self._request.interpret:
            await self._timed("interpret", self._interpret())
        elif runs:
            self._notes.append(
                "There is no GPU: the variants were compiled and not run, and nothing here says "
                "which is the fastest. interpret=true judges each in the interpreter."
            )
        return self._tuned()

    async def _timed(self, part: str, work: Any) -> Any:
        began = time.monotonic()
        try:
            return await work
        finally:
            self._seconds[part] = round(time.monotonic() - began, 3)

    async def _compile(self, *, raced: bool) -> None:
        """Compiles all, several together, and leaves out what need not be run."""
        variants = self._request.variants
        languages = {variant.solution.spec.language for variant in variants}
        native = bool(languages & {Language.CUDA, Language.CPP})
        if raced and not native and len(variants) < COMPILED_FIRST:
            self._notes.append(
                f"{len(variants)} variants were raced without compiling them first; scope "
                "'static' shows registers, spills and shared memory."
            )
            return
        target = await self._architecture() if self._on_gpu else None
        targets = self._base.targets or ([target] if target else [])
        requests = [self._for(v, scope=Scope.STATIC, targets=targets) for v in variants]

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
        regimes = self._regimes()
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
        race = DeviceRace(self._evaluations, self._base, regimes, ran, sealed)
        course = await race.run(entered)
        for name, evaluations in race.evaluations.items():
            result = self._results[name]
            for evaluation in evaluations:
                result.take(evaluation)
            result.times = dict(course.times.get(name, {}))
            if result.state is VariantState.PASSED:
                timed = bool(result.times)
                result.state = VariantState.SLOWER if timed else VariantState.UNDECIDED
        self._note_foretold(course)
        winners = await self._judge_winners(course, regimes)
        judged = [result.judged for result in self._results.values() if result.judged]
        trials = [found.evaluation_id for found in judged if found.status in UNFAILED]
        definition = self._base.operator.definition
        dispatch = Dispatch()
        if not self._base.input_family:  # who is the fastest on inputs that do not rank decides not
            dispatch = await asyncio.to_thread(dispatch_of, self._archive, definition, trials)
        return self._tuned(regimes=regimes, winners=winners, dispatch=dispatch, runs=race.runs)

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

    def _regimes(self) -> list[Regime]:
        latencies = self._evaluations.latencies.of_one_program(self._base.operator.name)
        return sample_shapes(self._base.operator, latencies or None).regimes

    async def _judge_winners(self, course: Course, regimes: Sequence[Regime]) -> dict[str, str]:
        """Judges the fastest of each regime; the place of one that fails goes to the next."""
        winners: dict[str, str] = {}
        for _ in range(MOST_JUDGED):
            first = {regime.name: course.ranking(regime.name) for regime in regimes}
            winners = {regime: names[0] for regime, names in first.items() if names}
            due = [n for n in dict.fromkeys(winners.values()) if not self._results[n].judged]
            if not due:
                break
            result = self._results[due[0]]
            await self._progress(self._steps - 1, self._steps, f"judging {due[0]}")
            request = self._for(result.variant)
            evaluation = (await self._evaluations.evaluate(request, NO_LIMIT_S)).evaluation
            result.take(evaluation)
            result.judged = evaluation
            if evaluation.status not in UNFAILED:
                course.out.add(due[0])
        winners = {r: n for r, n in winners.items() if self._won(n)}
        for name in dict.fromkeys(winners.values()):
            won = [regime for regime, winner in winners.items() if winner == name]
            self._results[name].state = VariantState.FASTEST
            self._results[name].words = f"on {', '.join(won)}"
        return winners

    def _won(self, name: str) -> bool:
        judged = self._results[name].judged
        return judged is not None and judged.status in UNFAILED

    def _tuned(self, **found: Any) -> Tuned:
        repeated = self._request.repeated
        if repeated:
            names = ", ".join(f"{name} (as {other})" for name, other in list(repeated.items())[:6])
            self._notes.append(f"{len(repeated)} variants have the bytes of another: {names}.")
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
