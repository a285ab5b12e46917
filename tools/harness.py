"""The services of one server, opened together: the composition root.

Opening is cheap: it loads no torch and starts no process. Callers use the services themselves.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from .archive.archiving import ArchiveService
from .archive.promotion.verification import PromotionVerifier
from .archive.search.advice import Budget
from .archive.search.tree import SearchRules
from .archive.store.archive import Archive
from .devices.environment import EnvironmentReport, chosen_device, environment_report
from .devices.targets import targets_named
from .documents import Documents
from .errors import HarnessError, RequestError
from .evaluation.judge_pool import JudgePool
from .evaluation.plan import work_estimate
from .evaluation.record_store import RecordStore
from .evaluation.service import EvaluationService
from .lookup import Lookup
from .messages.judge import CheckOperator, OperatorChecked
from .profiling.service import ProfilingService
from .progress import OnProgress, ignore_progress
from .schema.evaluation import Isolation
from .settings import Settings
from .signing.keyring import Keyring
from .workloads.dataset import Dataset

if TYPE_CHECKING:
    from .archive.retrieval.knowledge import Knowledge
    from .profiling.code.service import CodeService
    from .profiling.device_figures import FiguresService
    from .profiling.inspection import InspectionService
    from .tuning.service import TuningService


class Harness:
    """The services of one server, on one device ('cpu' or 'cuda:N').

    Use `Harness.open`; end with `aclose`, or `kill_children` from a signal's handler.
    """

    def __init__(self, settings: Settings, dataset: Dataset) -> None:
        self.settings = settings
        self.dataset = dataset
        self.device = chosen_device(settings)
        self.pool = JudgePool(settings)
        self.records = RecordStore(settings.evaluations_dir)
        self.keys = Keyring(
            settings.signing_key, settings.archive_dir, settings.trusted_keys, _shipped_keys()
        )
        self.archive = Archive(settings.archive_dir, self.keys)
        self.lookup = Lookup(dataset, self.archive, settings, self.device)
        profiles = settings.profiles_dir
        budget = Budget.of_hours(settings.search_candidates, settings.search_hours)
        rules = SearchRules(
            settings.search_epsilon,
            settings.search_root_children,
            settings.search_dead_children,
            settings.search_leaders,
            settings.search_window,
            60 * settings.search_plan_rest_min if settings.search_open_plans == "offer" else None,
        )
        self.archiving = ArchiveService(
            self.archive, self.records, dataset, profiles, budget, rules, settings.skills_dirs
        )
        self.evaluations = self.evaluations_on(self.device)
        latencies = self.evaluations.latencies
        self.profiling = ProfilingService(settings, self.device, self.pool, latencies)
        self.promotions = PromotionVerifier(
            self.archive, dataset, self.evaluations, self.profiling, self.device
        )
        self.documents = Documents(dataset, self.records, self.archive, profiles)

    def evaluations_on(self, device: str) -> EvaluationService:
        """Evaluations on a device of this machine, 'cpu' or 'cuda:N', into the same records."""
        return EvaluationService(
            self.settings,
            self.pool,
            self.records,
            device,
            self.keys,
            self.archiving.recognise,
            self.archiving.keep_trial,
        )

    @functools.cached_property
    def inspections(self) -> InspectionService:
        """Looks into calls; loaded as `tuning` is."""
        from .profiling.inspection import InspectionService

        return InspectionService(self.settings, self.device, self.pool)

    @functools.cached_property
    def knowledge(self) -> Knowledge:
        """Searches what is known; loaded as `tuning` is."""
        from .archive.retrieval.knowledge import Knowledge

        settings = self.settings
        shipped = [*settings.kernels_dir.glob("*/peers"), *settings.kernels_dir.glob("*/solutions")]
        return Knowledge(
            self.archive,
            settings.skills_dirs,
            (*sorted(shipped), *settings.source_dirs),
            settings.cache_dir / "sources.sqlite",
        )

    @functools.cached_property
    def code(self) -> CodeService:
        """Shows the code of candidates; loaded as `tuning` is."""
        from .profiling.code.service import CodeService

        return CodeService(self.settings, self.device, self.pool)

    @functools.cached_property
    def device_figures(self) -> FiguresService:
        """Knows devices and measures this one; loaded as `tuning` is."""
        from .profiling.device_figures import FiguresService

        return FiguresService(self.settings, self.profiling)

    @functools.cached_property
    def tuning(self) -> TuningService:
        """Evaluates many variants; loaded when it is first asked for, as hardly any server is."""
        from .tuning.service import TuningService

        return TuningService(self.evaluations, self.pool, self.archive)

    @classmethod
    def open(cls, settings: Settings) -> Harness:
        """Opens a harness on its data folder.

        Raises:
            DatasetError: when a dataset folder is missing or empty.
            RequestError: when a setting names a target that nobody knows.
        """
        _require_known_targets(settings)
        found = cls(settings, Dataset.load(settings.kernels_dir, settings.dataset))
        if not settings.signing_key.exists():
            found.keys.public()  # so that it is there to be hidden from the first candidate
        found.keys.note_unsigned(found.archive.object_ids, settings.evaluations_dir)
        return found

    async def warm(self) -> None:
        """Starts the device's judge early; a failure is left to the first evaluation to report."""
        with contextlib.suppress(HarnessError):
            await self.pool.warm(self.device)

    async def aclose(self) -> None:
        """Ends every process that this harness started, and closes the archive."""
        await self.pool.close()
        self.archive.close()

    def kill_children(self) -> None:
        """Kills every process that this harness started, at once."""
        self.pool.kill()
        self.profiling.kill()

    def check_environment(self, more_problems: Sequence[str] = ()) -> EnvironmentReport:
        """Reports what this machine has, and what each missing thing costs.

        Args:
            more_problems: of the dataset, told before those that are known.
        """
        ready = self.pool.ready(self.device)
        isolation = Isolation.model_validate(ready.isolation) if ready else None
        problems = [*more_problems, *(str(problem) for problem in self.dataset.problems)]
        report = environment_report(self.settings, isolation, problems)
        if self.keys.public() is None:
            report.notes.append(
                f"Records are not signed, and so rank nowhere: {self.keys.problem}. Correct that, "
                "or set KERNEL_HARNESS_SIGNING_KEY to a file that can be written."
            )
        return report

    async def operator_problems(
        self, definition: str, progress: OnProgress = ignore_progress
    ) -> list[str]:
        """What makes an operator unfit to judge candidates by, found by running its reference.

        Raises:
            RequestError: when there is no such definition.
            InfrastructureError: when the judge died.
        """
        operator = self.dataset.operator(definition)
        uuids = [w.uuid for w in operator.workloads]
        uuids.sort(key=lambda uuid: work_estimate(operator, uuid))
        request = CheckOperator(
            request_id=uuid4().hex,
            definition=operator.definition.model_dump(mode="json"),
            operator_dir=str(operator.folder) if operator.folder else None,
            dataset_root=str(operator.root) if operator.root else None,
            workloads=[operator.workload(uuid).model_dump(mode="json") for uuid in uuids],
            limit_s=self.settings.budget_s(self.device),
        )
        answer = await self.pool.ask(self.device, request, OperatorChecked, progress)
        return [*operator.unusable, *answer.problems]

    async def calibrate(self, progress: OnProgress = ignore_progress) -> list[Path]:
        """Measures the device's rates and its noise; returns the files written. Takes minutes.

        Raises:
            CapabilityError: when there is no GPU.
        """
        rates = await self.profiling.calibrate(progress)
        # It imports Triton, which a starting server must not.
        from .evaluation.noise_calibration import calibrate_noise

        return [rates, await calibrate_noise(self.settings, self.pool, self.device, progress)]


def _require_known_targets(settings: Settings) -> None:
    """Refuses targets of the settings that are no device and no architecture, in words."""
    table = settings.kernels_dir / "hardware.json"
    if not table.is_file():
        return
    for name, targets in (
        ("targets", settings.targets),
        ("static_targets", settings.static_targets),
    ):
        try:
            targets_named(targets, table)
        except RequestError as error:
            raise RequestError(f"Setting {name!r}: {error.what}", remedy=error.remedy) from None


def _shipped_keys() -> Path:
    """The list of public keys that comes with the harness."""
    return Path(__file__).with_name("signing") / "shipped_keys.txt"
