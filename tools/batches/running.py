"""Carries a job out on the machine at hand, and writes the file of results.

What was judged here before is answered from its record, so a job that was interrupted goes on
where it was; the file of what there is is written in any case.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..archive.store.manifest import harness_version
from ..archive.store.transfer import write_trials
from ..devices.calibration import calibration_folder
from ..devices.gpus import devices_text
from ..errors import HarnessError, RequestError
from ..evaluation.plan import EvaluationRequest
from ..progress import OnProgress
from ..schema.evaluation import Evaluation, Status
from .job import BatchEntry, BatchJob
from .results import (
    CALIBRATION,
    EVALUATIONS,
    NAMES,
    PROFILES,
    RESULTS_FILE,
    TRIALS_FILE,
    BatchResults,
    digest_of,
)
from .tar_file import write_tar

if TYPE_CHECKING:
    from ..harness import Harness

AT_ONCE = 2
"""Evaluations under way for each device: the next is planned while one is judged."""
NO_LIMIT_S = 86_400.0
NO_TIME = "the time was over"
STOPPED = "the job was told to end"


@dataclass
class Carried:
    """What came of a job so far.

    Attributes:
        not_run: by name of a candidate, why it has no verdict.
        notes: what else went wrong.
    """

    evaluations: list[Evaluation] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


async def carry_out(
    harness: Harness,
    job: BatchJob,
    progress: OnProgress,
    seconds: float | None = None,
    stop: asyncio.Event | None = None,
) -> Carried:
    """Evaluates what a job asks for, on all devices at once, as long as the time lasts.

    Args:
        seconds: how long; None: until all is judged.
        stop: ends it when it is set, as where a scheduler's time is nearly over.

    Raises:
        RequestError: when an operator here would judge otherwise than the one that it was packed
            for.
    """
    for entry in job.entries:
        _require_same_operator(harness, entry)
    ends = time.monotonic() + (NO_LIMIT_S if seconds is None else seconds)
    stop = stop or asyncio.Event()
    carried = Carried()
    if job.calibrate and harness.device != "cpu":
        try:
            await _in_time(harness.calibrate(progress), stop, ends)
        except HarnessError as error:
            carried.notes.append(f"The device was not calibrated: {error.what}")
    free = asyncio.Semaphore(AT_ONCE * len(harness.devices))
    tasks = [asyncio.create_task(_evaluated(harness, job, entry, free)) for entry in job.entries]
    pending = set(tasks)
    stopped = asyncio.create_task(stop.wait())
    while pending and not stop.is_set() and (left := ends - time.monotonic()) > 0:
        done = len(tasks) - len(pending)
        await progress(done, len(tasks), f"{done} of {len(tasks)} are judged")
        await asyncio.wait({*pending, stopped}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        pending = {task for task in pending if not task.done()}
    for task in (*pending, stopped):
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    for entry, one in zip(job.entries, found, strict=True):
        if isinstance(one, Evaluation):
            carried.evaluations.append(one)
        elif isinstance(one, asyncio.CancelledError):
            carried.not_run[entry.name] = STOPPED if stop.is_set() else NO_TIME
        elif isinstance(one, HarnessError):
            carried.not_run[entry.name] = one.what
        elif isinstance(one, BaseException):
            raise one
    if job.profile and not stop.is_set():
        await _profile(harness, job, carried, stop, ends, progress)
    return carried


def _require_same_operator(harness: Harness, entry: BatchEntry) -> None:
    operator = harness.dataset.operator(entry.definition)
    if operator.judged_by() != entry.operator or operator.digest != entry.workload_digest:
        raise RequestError(
            f"{entry.definition} is another operator here than where the job was packed",
            where=str(operator.folder or operator.root or ""),
            remedy="Install the same version of the harness and of the dataset on both machines.",
        )


def _request(harness: Harness, job: BatchJob, entry: BatchEntry) -> EvaluationRequest:
    baseline = entry.baseline_on_cpu if harness.device == "cpu" else entry.baseline
    return EvaluationRequest(
        operator=harness.dataset.operator(entry.definition),
        solution=job.solutions[entry.solution].model_copy(update={"name": entry.name}),
        scope=job.scope,
        baseline=job.solutions[baseline] if baseline else None,
        targets=tuple(entry.targets),
        only=tuple(entry.only),
        objective=entry.objective,
        input_family=entry.input_family,
        started_from=entry.started_from,
        plan=entry.plan,
        made_by=entry.made_by,
    )


async def _evaluated(
    harness: Harness, job: BatchJob, entry: BatchEntry, free: asyncio.Semaphore
) -> Evaluation:
    async with free:
        request = _request(harness, job, entry)
        return (await harness.evaluations.evaluate(request, NO_LIMIT_S)).evaluation


async def _in_time(work: Coroutine[Any, Any, object], stop: asyncio.Event, ends: float) -> None:
    """Awaits what takes minutes, and cancels it when the job is to end.

    Raises:
        RequestError: when it was cancelled, with the reason.
    """
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    left = max(ends - time.monotonic(), 0.0)
    try:
        await asyncio.wait({doing, stopping}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        ended = doing.done()
    finally:
        stopping.cancel()
        doing.cancel()
    if not ended:
        await asyncio.wait({doing})
        raise RequestError(STOPPED if stop.is_set() else NO_TIME)
    await doing


async def _profile(
    harness: Harness,
    job: BatchJob,
    carried: Carried,
    stop: asyncio.Event,
    ends: float,
    progress: OnProgress,
) -> None:
    for evaluation in carried.evaluations:
        if stop.is_set() or time.monotonic() > ends:
            return
        if evaluation.status is not Status.PASSED:
            continue
        operator = harness.dataset.operator(evaluation.definition)
        solution = job.solutions[evaluation.content_hash]
        profiling = harness.profiling.profile_ncu(operator, solution, progress=progress)
        try:
            await _in_time(profiling, stop, ends)
        except HarnessError as error:
            carried.notes.append(f"{evaluation.solution_name} was not profiled: {error.what}")


def write_results(harness: Harness, job: BatchJob, carried: Carried, file: Path) -> BatchResults:
    """Writes the file of results; returns what it says.

    Raises:
        RequestError: when nothing can be signed here, so that it would count nowhere.
    """
    with tempfile.TemporaryDirectory(prefix="kernel-harness-batch-") as folder:
        members = dict(_members(harness, carried.evaluations))
        bundle = Path(folder) / TRIALS_FILE
        if write_trials(harness.archive, bundle, [e.evaluation_id for e in carried.evaluations]):
            members[TRIALS_FILE] = bundle
        results = BatchResults(
            job_id=job.job_id,
            harness=harness_version(),
            device=devices_text(harness.devices),
            evaluations={e.evaluation_id: e.solution_name for e in carried.evaluations},
            not_run=carried.not_run,
            files={name: digest_of(content) for name, content in members.items()},
        ).signed(harness.keys)
        if results.signature is None:
            raise RequestError(
                f"The results would count nowhere: {harness.keys.problem}",
                remedy="Set KERNEL_HARNESS_SIGNING_KEY to a file that can be written.",
            )
        text = results.model_dump_json(indent=1).encode()
        write_tar(file, [(RESULTS_FILE, text), *members.items()])
    return results


def _members(
    harness: Harness, evaluations: Sequence[Evaluation]
) -> Iterator[tuple[str, Path | bytes]]:
    settings = harness.settings
    for evaluation in evaluations:
        name = f"{EVALUATIONS}/{evaluation.evaluation_id}.json"
        yield name, evaluation.model_dump_json(indent=1).encode()
        latest = settings.profiles_dir / evaluation.content_hash[:64]
        for path in sorted(latest.glob("*.json")):
            yield f"{PROFILES}/{latest.name}/{path.name}", path
    for path in sorted(calibration_folder(settings).glob("*.json")):
        if NAMES.fullmatch(f"{CALIBRATION}/{path.name}"):
            yield f"{CALIBRATION}/{path.name}", path
