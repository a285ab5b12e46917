"""Writes a job's file from workspaces, folders of solutions and candidates."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..archive.store.manifest import harness_version
from ..errors import RequestError
from ..evaluation.plan import EvaluationRequest
from ..schema.flashinfer_trace import Solution
from ..workloads.operators import Operator
from ..workloads.solution_folder import FILE_NAME, read_solution
from .job import JOB_FILE, NAMES, OPERATORS, BatchEntry, BatchJob
from .tar_file import write_tar

if TYPE_CHECKING:
    from ..harness import Harness

MOST_OPERATOR_BYTES = 256 << 20
_NOT_NEEDED = ("solutions", "peers", "candidates", "__pycache__")
"""Folders of an operator that do not decide a verdict; a baseline among them goes with the job."""


@dataclass(frozen=True)
class BatchContents:
    """What to pack.

    Attributes:
        workspaces: names or paths.
        folders: each a solution's folder, or a folder of such: a sweep.
        candidates: ids of candidates or trials of the archive.
        compare_to: as for an evaluation; the operator's baseline if None.
        input_family: of the inputs that are timed; the one that ranks if None.
        profile: also profile what passes.
        calibrate: also measure the device's rates and noise first.
    """

    workspaces: Sequence[str] = ()
    folders: Sequence[Path] = ()
    candidates: Sequence[str] = ()
    scope: str = "sample"
    compare_to: str | None = None
    profile: bool = False
    calibrate: bool = False
    input_family: str | None = None


def pack(harness: Harness, packing: BatchContents, file: Path) -> BatchJob:
    """Writes a job's file, and returns what it asks for.

    Raises:
        RequestError: when a name is unknown or nothing is to be packed.
    """
    requests = list(_requests(harness, packing))
    if not requests:
        raise RequestError(
            "Nothing is to be packed",
            remedy="Name workspaces, candidates of the archive, or folders of solutions.",
        )
    solutions: dict[str, Solution] = {}
    for request in requests:
        for solution in filter(None, (request.solution, *_baselines(packing, request))):
            solutions[solution.content_hash()] = solution
    job = BatchJob(
        job_id=f"job-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}",
        harness=harness_version(),
        scope=requests[0].scope,
        profile=packing.profile,
        calibrate=packing.calibrate,
        solutions=solutions,
        entries=[_entry(request, _baselines(packing, request)) for request in requests],
    )
    members: list[tuple[str, Path | bytes]] = [(JOB_FILE, job.model_dump_json(indent=1).encode())]
    for operator in {request.operator.name: request.operator for request in requests}.values():
        members += _files_of(harness, operator)
    write_tar(file, members)
    return job


def _requests(harness: Harness, packing: BatchContents) -> Iterator[EvaluationRequest]:
    asked = {
        "scope": packing.scope,
        "compare_to": packing.compare_to,
        "input_family": packing.input_family,
    }
    for workspace in packing.workspaces:
        yield harness.lookup.evaluation_request(workspace=workspace, **asked)
    for folder in packing.folders:
        for place in _solution_folders(folder):
            solution = read_solution(place, author="batch")
            yield harness.lookup.evaluation_request(solution=solution, **asked)
    for name in packing.candidates:
        solution = harness.lookup.candidate(candidate=name).solution
        yield harness.lookup.evaluation_request(solution=solution, **asked)


def _solution_folders(folder: Path) -> list[Path]:
    if (folder / FILE_NAME).is_file():
        return [folder]
    found = sorted(place.parent for place in folder.glob(f"*/{FILE_NAME}"))
    if not found:
        raise RequestError(
            "There is no solution in the folder",
            where=str(folder),
            remedy=f"A solution is a folder with {FILE_NAME}; a sweep is a folder of such.",
        )
    return found


def _baselines(packing: BatchContents, request: EvaluationRequest) -> list[Solution | None]:
    """What it is compared with on a GPU and on a processor: the machine here may have the other."""
    if packing.compare_to is not None:
        return [request.baseline, request.baseline]
    return [request.operator.baseline(cpu=cpu) for cpu in (False, True)]


def _entry(request: EvaluationRequest, baselines: Sequence[Solution | None]) -> BatchEntry:
    on_gpu, on_cpu = (found.content_hash() if found else None for found in baselines)
    return BatchEntry(
        solution=request.solution.content_hash(),
        name=request.solution.name,
        baseline=on_gpu,
        baseline_on_cpu=on_cpu,
        definition=request.operator.name,
        operator=request.operator.judged_by(),
        workload_digest=request.operator.digest,
        only=list(request.only),
        targets=list(request.targets),
        objective=request.objective,
        input_family=request.input_family,
        started_from=request.started_from,
        plan=request.plan,
        made_by=request.made_by,
    )


def _files_of(harness: Harness, operator: Operator) -> Iterator[tuple[str, Path]]:
    """The files of an operator that does not come with the harness."""
    shipped = harness.settings.kernels_dir.resolve()
    folder = operator.folder
    if folder is None or folder.resolve().parent == shipped:
        return
    total = 0
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if parts[0] in _NOT_NEEDED or "__pycache__" in parts or not path.is_file():
            continue
        name = f"{OPERATORS}/{operator.name}/{'/'.join(parts)}"
        total += path.stat().st_size
        if path.is_symlink() or not NAMES.fullmatch(name) or total > MOST_OPERATOR_BYTES:
            raise RequestError(
                f"{operator.name} cannot be packed: {'/'.join(parts)!r} is a link, too large, or "
                "has a name with odd characters",
                where=str(folder),
                remedy="Put the operator where the other machine finds it, and take it out here.",
            )
        yield name, path
