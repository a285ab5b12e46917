"""One object that holds a harness's parts; every MCP tool and every command is one call on it.

Opening it is cheap: it loads no torch and starts no process. It decides nothing that a room beneath
it decides; it finds the parts that a capability needs and passes them on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .archive.archiving import ArchivedCandidate, ArchiveService, Recognition
from .archive.promotion.events import Promotion
from .archive.promotion.rules import PromotionDecision
from .archive.promotion.verification import PromotionVerifier
from .archive.search.advice import Budget
from .archive.search.parent_selection import Selection, select_parent
from .archive.search.query import SearchRequest, SearchResult
from .archive.search.role_context import RoleContext, get_context
from .archive.store.archive import Archive
from .devices.environment import EnvironmentReport, chosen_device, environment_report
from .devices.hardware import devices_named
from .documents import SLICE_CHARACTERS, Reports, ReportSlice
from .errors import HarnessError, RequestError, unknown_name
from .evaluation.floors import with_floors
from .evaluation.judge_pool import JudgePool
from .evaluation.record_store import RecordStore
from .evaluation.rejudge import Rejudged, ReplayService
from .evaluation.service import EvaluateRequest, EvaluationService
from .evaluation.static_resources import explained_check
from .messages.judge import Checks
from .profiling.runs.profiles import Profile
from .profiling.sanitizer.findings import SanitizerReport
from .profiling.service import ProfilingService
from .profiling.timeline.chrome_trace import Timeline
from .progress import OnProgress, ignore_progress
from .schema.evaluation import Evaluation, Isolation, Scope
from .schema.flashinfer_trace import Solution
from .settings import Settings
from .workloads.dataset import Dataset
from .workloads.listing import DefinitionListing, WorkloadListing, list_definitions, list_workloads
from .workloads.operators import Operator
from .workloads.regimes import ShapeSample, sample_shapes
from .workloads.solution_folder import given_solution, read_candidate_file
from .workloads.workspace import Workspace, confined, create, read_workspace


class Harness:
    """The parts of one harness: settings, dataset, judges, records, archive.

    Use `Harness.open`; end with `aclose`, or `kill_children` from a signal's handler.
    """

    def __init__(self, settings: Settings, dataset: Dataset) -> None:
        self.settings = settings
        self.dataset = dataset
        self.pool = JudgePool(settings)
        self.records = RecordStore(settings.evaluations_dir)
        self.evaluations = EvaluationService(
            settings,
            self.pool,
            self.records,
            explained_check,
            lambda evaluation, operator: with_floors(evaluation, operator, settings),
        )
        self.archive = Archive(settings.archive_dir)
        budget = Budget.of_hours(settings.search_candidates, settings.search_hours)
        self.archiving = ArchiveService(
            self.archive, self.records, dataset, settings.profiles_dir, budget
        )
        latencies = self.evaluations.latencies
        self.profiling = ProfilingService(settings, self.device, self.pool, latencies)
        self.promotions = PromotionVerifier(
            self.archive, dataset, self.evaluations, self.profiling, self.device
        )
        places = (dataset, settings.workspaces_dir, self.device)
        self._replaying = ReplayService(self.evaluations, self.records, self.archive, *places)
        self._reports = Reports(dataset, self.records, self.archive, settings.profiles_dir)

    @classmethod
    def open(cls, settings: Settings) -> Harness:
        """Opens a harness on its data folder.

        Raises:
            DatasetError: when a dataset folder is missing or empty.
        """
        return cls(settings, Dataset.load(settings.kernels_dir, settings.dataset))

    async def warm(self) -> None:
        """Starts the device's judge ahead of the first trial; one that cannot is told of there."""
        with contextlib.suppress(HarnessError):
            await self.pool.warm(self.device)

    async def aclose(self) -> None:
        """Ends every process that this harness started."""
        await self.pool.close()
        self.archive.close()

    def kill_children(self) -> None:
        """Kills every process that this harness started, at once."""
        self.pool.kill()
        self.profiling.kill()

    @property
    def device(self) -> str:
        """The device that trials run on, 'cpu' or 'cuda:N'."""
        return chosen_device(self.settings)

    async def calibrate(self, progress: OnProgress | None = None) -> list[Path]:
        """Measures the device's rates and its noise, and keeps them; some minutes.

        Raises:
            CapabilityError: when there is no GPU.
        """
        rates = await self.profiling.calibrate(progress or ignore_progress)
        from .evaluation.noise_calibration import calibrate_noise

        return [rates, await calibrate_noise(self.settings, self.pool, self.device, progress)]

    def check_environment(self) -> EnvironmentReport:
        """What this machine has, and what each missing thing costs."""
        ready = self.pool.ready(self.device)
        isolation = Isolation.model_validate(ready.isolation) if ready else None
        problems = [str(problem) for problem in self.dataset.problems]
        return environment_report(self.settings, isolation, problems)

    def list_workloads(
        self, definition: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> DefinitionListing | WorkloadListing:
        """Every operator, or one operator's contract and a page of its workloads."""
        if definition is None:
            return list_definitions(self.dataset)
        operator = self.dataset.operator(definition)
        latencies = self.evaluations.latencies.get(operator.name)
        return list_workloads(operator, self._sample(operator, None), latencies, cursor, limit)

    def sample_shapes(self, definition: str, max_samples: int | None = None) -> ShapeSample:
        """The operator's regimes, one representative each, and their weights."""
        return self._sample(self.dataset.operator(definition), max_samples)

    def open_workspace(
        self, definition: str, name: str | None = None, start_from: str = "template"
    ) -> Workspace:
        """Makes a folder in which to write one candidate.

        Args:
            definition: the operator.
            name: the workspace's name; made up when None.
            start_from: 'template', a shipped solution or peer, or a candidate id.
        """
        operator = self.dataset.operator(definition)
        start = None if start_from == "template" else self._solution(operator, start_from)
        if start is not None and start.definition != operator.name:
            raise RequestError(
                f"{start_from!r} is for {start.definition}, not {operator.name}",
                remedy="Start from 'template' or from a solution of this operator.",
            )
        return create(self.settings.workspaces_dir, operator, name, start, start_from)

    async def evaluate_kernel(
        self,
        *,
        workspace: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
        scope: str | Scope = Scope.SAMPLE,
        wait_s: float | None = None,
        force: bool = False,
        compare_to: str | None = None,
        targets: Sequence[str] | None = None,
        workloads: Sequence[str] | None = None,
        checks: Checks | None = None,
        progress: OnProgress | None = None,
    ) -> Evaluation:
        """Judges one candidate.

        Args:
            workspace: a workspace's path or name; this or `solution`.
            solution: a FlashInfer-Trace Solution.
            scope: how far to go.
            wait_s: longest to wait; the settings' when None. Past it the status is RUNNING.
            force: judge again although the same bytes were judged before.
            compare_to: a peer, solution or candidate id, or 'nothing'; the operator's baseline when
                None.
            targets: devices whose floors are reported.
            workloads: uuids to run instead of those that the scope would choose.
            checks: overrides what the scope means; used by verification before promotion.
            progress: told each step.
        """
        candidate = self.read_candidate(workspace=workspace, solution=solution)
        operator = self.dataset.operator(candidate.definition)
        request = EvaluateRequest(
            operator=operator,
            solution=candidate,
            scope=_scope(scope),
            baseline=self._compared_with(operator, compare_to),
            targets=devices_named(targets or (), self.settings.kernels_dir / "hardware.json"),
            force=force,
            checks=checks,
            only=tuple(workloads or ()),
        )
        patience = self.settings.wait_s if wait_s is None else wait_s
        return await self.evaluations.evaluate(request, self.device, patience, progress)

    async def get_evaluation(
        self, evaluation_id: str, wait_s: float | None = None, progress: OnProgress | None = None
    ) -> Evaluation:
        """The record of a trial, waiting for one under way."""
        patience = self.settings.wait_s if wait_s is None else wait_s
        return await self.evaluations.get(evaluation_id.strip(), patience, progress)

    def read_report(
        self,
        uri: str,
        section: str | None = None,
        offset: int = 0,
        limit: int = SLICE_CHARACTERS,
    ) -> ReportSlice:
        """A slice of a long text."""
        return self._reports.read(uri, section, offset, limit)

    async def profile_ncu(
        self,
        *,
        workspace: str | None = None,
        candidate: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
        workloads: Sequence[str] | None = None,
        set: str = "detailed",
        compare_to: str | None = None,
        progress: OnProgress | None = None,
    ) -> Profile:
        """Why a candidate is slow, by hardware counters where they can be had."""
        found = self.read_candidate(workspace=workspace, solution=solution, candidate=candidate)
        operator = self.dataset.operator(found.definition)
        other = self._solution(operator, compare_to) if compare_to else None
        return await self.profiling.profile_ncu(
            operator,
            found,
            workloads=workloads or (),
            profile_set=set,
            compare_to=other,
            progress=progress or ignore_progress,
        )

    async def profile_timeline(
        self,
        *,
        workspace: str | None = None,
        candidate: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
        workloads: Sequence[str] | None = None,
        progress: OnProgress | None = None,
    ) -> Timeline:
        """What one call does over time: kernels, copies, gaps, the host."""
        found = self.read_candidate(workspace=workspace, solution=solution, candidate=candidate)
        operator = self.dataset.operator(found.definition)
        return await self.profiling.profile_timeline(
            operator, found, workloads=workloads or (), progress=progress or ignore_progress
        )

    async def sanitize(
        self,
        *,
        workspace: str | None = None,
        candidate: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
        progress: OnProgress | None = None,
    ) -> SanitizerReport:
        """Races, bad addresses and uninitialised reads, mapped to source lines."""
        found = self.read_candidate(workspace=workspace, solution=solution, candidate=candidate)
        operator = self.dataset.operator(found.definition)
        return await self.profiling.sanitize(operator, found, progress or ignore_progress)

    async def promote_candidate(
        self, candidate_id: str, progress: OnProgress | None = None
    ) -> PromotionDecision:
        """Verifies an archived candidate afresh and promotes it when every rule holds."""
        return await self.promotions.promote(candidate_id, progress)

    async def rejudge(
        self, evaluation_id: str, workspace: str | None = None, progress: OnProgress | None = None
    ) -> Rejudged:
        """Judges the sources of a record again from its recorded seeds, without timing."""
        return await self._replaying.rejudge(evaluation_id, workspace, progress)

    def recognise(
        self,
        evaluation: Evaluation,
        *,
        workspace: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
    ) -> Recognition:
        """What the archive knows of what was judged: whether it was there, whether it kept within
        the regions marked for the change."""
        started_from = None
        try:
            candidate = self.read_candidate(workspace=workspace, solution=solution)
            if workspace is not None:
                folder = confined(self.settings.workspaces_dir, workspace)
                started_from = read_candidate_file(folder).started_from
        except HarnessError:  # the workspace went away meanwhile; the verdict stands
            return Recognition()
        judged = candidate.content_hash() == evaluation.content_hash
        return self.archiving.recognise(candidate, started_from) if judged else Recognition()

    def rollback(self, definition: str, reason: str, gpu: str | None = None) -> Promotion:
        """Returns an operator's best to the one before it, and says why."""
        return self.promotions.rollback(definition, reason, gpu)

    def archive_candidate(
        self,
        *,
        workspace: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
        evaluation_id: str,
        hypothesis: str,
        lesson: str | None = None,
        parent: str | Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> ArchivedCandidate:
        """Keeps one trial, failed ones too, as a commit whose parents it was derived from."""
        candidate = self.read_candidate(workspace=workspace, solution=solution)
        parents = [parent] if isinstance(parent, str) else list(parent or ())
        return self.archiving.archive_candidate(
            candidate, evaluation_id, hypothesis, lesson, parents, list(tags or ())
        )

    def search_archive(self, definition: str | None = None, **filters: Any) -> SearchResult:
        """Candidates, lessons and notes; what is blocked, recommended and open."""
        return self.archiving.search(SearchRequest(definition, **filters))

    def select_parent(
        self, definition: str, policy: str = "epsilon_greedy", seed: int | None = None
    ) -> Selection:
        """The candidate to expand next, and why."""
        return select_parent(self.archive, self.dataset.operator(definition).name, policy, seed)

    def get_context(self, role: str, candidate_id: str) -> RoleContext:
        """What a planner, coder or debugger should see of the tree around one candidate."""
        return get_context(self.archive, role, candidate_id)

    def read_candidate(
        self,
        *,
        workspace: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
        candidate: str | None = None,
    ) -> Solution:
        """The Solution that exactly one of the arguments means.

        Raises:
            RequestError: when none or several are given, or it cannot be read.
        """
        given = [x for x in (workspace, solution, candidate) if x is not None]
        if len(given) != 1:
            raise RequestError(
                "It is not said which candidate" if not given else "Several candidates are named",
                remedy="Pass exactly one of workspace, solution, or candidate where it is taken.",
            )
        if workspace is not None:
            return read_workspace(self.settings.workspaces_dir, workspace)
        if candidate is not None:
            return self.archive.get(candidate).solution()
        return solution if isinstance(solution, Solution) else given_solution(solution)

    def _sample(self, operator: Operator, max_samples: int | None) -> ShapeSample:
        latencies = self.evaluations.latencies.get(operator.name) or None
        if max_samples is None:
            return sample_shapes(operator, latencies)
        return sample_shapes(operator, latencies, max_samples=max_samples)

    def _compared_with(self, operator: Operator, name: str | None) -> Solution | None:
        if name:
            return None if name == "nothing" else self._solution(operator, name)
        return operator.baseline(cpu=self.device == "cpu")

    def _solution(self, operator: Operator, name: str) -> Solution:
        """A shipped solution, a peer or an archived candidate, by name."""
        shipped = operator.solutions() | operator.peers()
        if name in shipped:
            return shipped[name]
        try:
            return self.archive.get(name).solution()
        except HarnessError as error:
            raise unknown_name(
                "solution, peer or candidate", name, [*shipped, "template"]
            ) from error


def _scope(scope: str | Scope) -> Scope:
    try:
        return Scope(scope)
    except ValueError as error:
        raise unknown_name("scope", str(scope), [s.value for s in Scope]) from error
