"""The services of one server, opened together: the composition root.

Opening is cheap: it loads no torch and starts no process. Callers use the services themselves.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .devices.environment import environment_report
from .devices.gpus import chosen_devices, device_pools, pool_called
from .devices.targets import targets_named
from .errors import HarnessError, RequestError
from .progress import OnProgress, ignore_progress
from .settings import Settings
from .signing.keyring import Keyring
from .workloads.dataset import Dataset

if TYPE_CHECKING:
    from .archive.archiving import ArchiveService
    from .archive.promotion.verification import PromotionVerifier
    from .archive.retrieval.knowledge import Knowledge
    from .archive.store.archive import Archive
    from .devices.environment import EnvironmentReport
    from .documents import Documents
    from .evaluation.judge_pool import JudgePool
    from .evaluation.records.record_store import RecordStore
    from .evaluation.service import EvaluationService
    from .lookup import Lookup
    from .profiling.code.service import CodeService
    from .profiling.device_figures import FiguresService
    from .profiling.inspection import InspectionService
    from .profiling.service import ProfilingService
    from .tuning.service import TuningService

Part = TypeVar("Part")


class made_once(Generic[Part]):
    """A part that is loaded and made when it is first asked for, by whichever thread.

    `functools.cached_property` would make two where two threads ask at once, and the second
    evaluation service would know nothing of what the first has under way.
    """

    _lock = threading.RLock()

    def __init__(self, make: Callable[[Any], Part]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, harness: object, owner: type | None = None) -> Part:
        """The part, which from then on is an ordinary attribute."""
        with self._lock:
            parts = vars(harness)
            if self._name not in parts:
                parts[self._name] = self._make(harness)
            return parts[self._name]


class Harness:
    """The services of one server, on the GPUs of one model or on the processor.

    Evaluations are spread over all devices; what is compared with them stays on one, and so do the
    variants of a call. Profiles, promotions and calibration are of the first. Evaluations, variants
    and profiles may name another model, where the settings leave it open. Use `Harness.open`; end
    with `aclose`, or `kill_children` from a signal's handler.
    """

    def __init__(
        self, settings: Settings, dataset: Dataset, judge: Sequence[str] | None = None
    ) -> None:
        self.settings = settings
        self._judge = judge
        self.dataset = dataset
        self.devices = chosen_devices(settings)
        self.device = self.devices[0]
        self._profiling_elsewhere: dict[str, ProfilingService] = {}
        self.keys = Keyring(
            settings.signing_key, settings.archive_dir, settings.trusted_keys, _shipped_keys()
        )

    @made_once
    def pool(self) -> JudgePool:
        """The judges of this machine's devices, or of a cluster's."""
        if self.settings.cluster:
            from .cluster.connection import cluster_pool

            return cluster_pool(self.settings)
        from .evaluation.judge_pool import JudgePool
        from .evaluation.judge_process import JUDGE_COMMAND

        return JudgePool(self.settings, self._judge or JUDGE_COMMAND)

    @made_once
    def records(self) -> RecordStore:
        """The records of every evaluation."""
        from .evaluation.records.record_store import RecordStore

        return RecordStore(self.settings.evaluations_dir)

    @made_once
    def archive(self) -> Archive:
        """Candidates as git commits."""
        from .archive.store.archive import Archive

        return Archive(self.settings.archive_dir, self.keys)

    @made_once
    def lookup(self) -> Lookup:
        """Finds what callers name."""
        from .lookup import Lookup

        return Lookup(self.dataset, self.archive, self.settings, self.device)

    @made_once
    def archiving(self) -> ArchiveService:
        """Archives and searches candidates."""
        from .archive.archiving import ArchiveService
        from .archive.search.advice import Budget
        from .archive.search.tree import SearchRules

        settings = self.settings
        rules = SearchRules(
            settings.search_epsilon,
            settings.search_root_children,
            settings.search_dead_children,
            settings.search_leaders,
            settings.search_window,
            60 * settings.search_plan_rest_min if settings.search_open_plans == "offer" else None,
        )
        return ArchiveService(
            self.archive,
            self.records,
            self.dataset,
            settings.profiles_dir,
            Budget.of_hours(settings.search_candidates, settings.search_hours),
            rules,
            settings.skills_dirs,
        )

    @made_once
    def evaluations(self) -> EvaluationService:
        """Evaluates on this harness's devices, each on one of them."""
        return self.evaluations_on(*self.devices)

    @made_once
    def profiling(self) -> ProfilingService:
        """Profiles candidates."""
        from .profiling.service import ProfilingService

        latencies = self.evaluations.latencies
        if self.settings.cluster:
            from .cluster.profiling import ClusterProfiling

            return ClusterProfiling(self.settings, self.device, self.pool, latencies)
        return ProfilingService(self.settings, self.device, self.pool, latencies)

    def profiling_on(self, model: str | None = None) -> ProfilingService:
        """Profiles on a GPU of a model; on the first device where none is named.

        Raises:
            RequestError: when there is no GPU of that model.
        """
        device = pool_called(model, self.settings)[0] if model else self.device
        if device in self.devices:
            return self.profiling
        from .profiling.service import ProfilingService

        return self._profiling_elsewhere.setdefault(
            device,
            ProfilingService(self.settings, device, self.pool, self.evaluations.latencies),
        )

    @made_once
    def promotions(self) -> PromotionVerifier:
        """Decides promotions."""
        from .archive.promotion.verification import PromotionVerifier

        return PromotionVerifier(
            self.archive, self.dataset, self.evaluations, self.profiling, self.device
        )

    @made_once
    def documents(self) -> Documents:
        """Long texts by their address."""
        from .documents import Documents

        return Documents(self.dataset, self.records, self.archive, self.settings.profiles_dir)

    def evaluations_on(self, device: str, *more: str) -> EvaluationService:
        """Evaluations on devices of this machine, 'cpu' or 'cuda:N', into the same records."""
        from .evaluation.service import EvaluationService

        return EvaluationService(
            self.settings,
            self.pool,
            self.records,
            device,
            self.keys,
            self.archiving.recognise,
            self.archiving.keep_trial,
            more,
        )

    @made_once
    def inspections(self) -> InspectionService:
        """Looks into calls."""
        from .profiling.inspection import InspectionService

        return InspectionService(self.settings, self.device, self.pool)

    @made_once
    def knowledge(self) -> Knowledge:
        """Searches what is known."""
        from .archive.retrieval.knowledge import Knowledge

        settings = self.settings
        shipped = [*settings.kernels_dir.glob("*/peers"), *settings.kernels_dir.glob("*/solutions")]
        return Knowledge(
            self.archive,
            settings.skills_dirs,
            (*sorted(shipped), *settings.source_dirs),
            settings.cache_dir / "sources.sqlite",
        )

    @made_once
    def code(self) -> CodeService:
        """Shows the code of candidates."""
        from .profiling.code.service import CodeService

        return CodeService(self.settings, self.device, self.pool)

    @made_once
    def device_figures(self) -> FiguresService:
        """Knows devices and measures this one."""
        from .profiling.device_figures import FiguresService

        return FiguresService(self.settings, self.profiling)

    @made_once
    def tuning(self) -> TuningService:
        """Evaluates many variants."""
        from .tuning.service import TuningService

        return TuningService(self.evaluations, self.pool, self.archive)

    @classmethod
    def open(cls, settings: Settings, judge: Sequence[str] | None = None) -> Harness:
        """Opens a harness on its data folder.

        Args:
            judge: a command that speaks as a judge does; a benchmark brings one that runs nothing.

        Raises:
            DatasetError: when a dataset folder is missing or empty.
            RequestError: when a setting names a target that nobody knows.
        """
        _require_known_targets(settings)
        found = cls(settings, Dataset.load(settings.kernels_dir, settings.dataset), judge)
        if not settings.signing_key.exists():
            found.keys.public()  # so that it is there to be hidden from the first candidate
        found.keys.note_unsigned(found.archived_ids, settings.evaluations_dir)
        return found

    def archived_ids(self) -> Iterable[str]:
        """Ids of what is in the archive; an archive that is not there is not loaded for it."""
        return self.archive.object_ids() if self.settings.archive_dir.is_dir() else ()

    async def warm(self) -> None:
        """Starts the device's judge early; a failure is left to the first evaluation to report."""
        with contextlib.suppress(HarnessError):
            await self.pool.warm(self.device)

    async def aclose(self) -> None:
        """Ends every process that this harness started, and closes the archive."""
        made = vars(self)
        if "pool" in made:
            await self.pool.close()
        if "archive" in made:
            self.archive.close()

    def kill_children(self) -> None:
        """Kills every process that this harness started, at once."""
        made = vars(self)  # on a signal nothing is begun
        if "pool" in made:
            self.pool.kill()
        if "profiling" in made:
            self.profiling.kill()
        for elsewhere in self._profiling_elsewhere.values():
            elsewhere.kill()

    def check_environment(self, more_problems: Sequence[str] = ()) -> EnvironmentReport:
        """Reports what this machine has, and what each missing thing costs.

        Args:
            more_problems: of the dataset, told before those that are known.
        """
        from .schema.evaluation import Isolation

        ready = next(filter(None, map(self.pool.ready, self.devices)), None)
        isolation = Isolation.model_validate(ready.isolation) if ready else None
        known = (str(problem) for problem in self.dataset.problems)
        problems = [*more_problems, *(words for words in known if words not in more_problems)]
        report = environment_report(self.settings, isolation, problems)
        report.notes[:0] = self._queue_notes()
        if self.keys.public() is None:
            report.notes.append(
                f"Records are not signed, and so rank nowhere: {self.keys.problem}. Correct that, "
                "or set KERNEL_HARNESS_SIGNING_KEY to a file that can be written."
            )
        return report

    def _queue_notes(self) -> list[str]:
        """How full the devices are, of each model where there are several."""
        from .distributed.device_queue import state_words

        pools = device_pools(self.settings)
        if len(pools) < 2:
            pools = {"": self.devices}
        said = {model: state_words(self.pool.queue_state(pools[model])) for model in pools}
        notes = [f"{model}: {words}" if model else words for model, words in said.items() if words]
        return [*notes, *self.pool.lost.values()]

    async def operator_problems(
        self, definition: str, progress: OnProgress = ignore_progress
    ) -> list[str]:
        """What makes an operator unfit to judge candidates by, in its files and when it is run.

        Raises:
            RequestError: when there is no such definition.
            InfrastructureError: when the judge died.
        """
        from .operator_check import OperatorCheck

        check = OperatorCheck(self.dataset, self.pool, self.device, self.settings)
        return await check.problems_of(definition, progress)

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
