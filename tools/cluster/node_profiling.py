"""Profiles and calibrations on a node, for a server elsewhere; reports go back as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..devices.measurements import Microbenchmark
from ..errors import DatasetError
from ..evaluation.judge_pool import JudgePool
from ..evaluation.records.last_latencies import LastLatencies
from ..profiling.runs.profile_store import ProfileStore, device_name
from ..profiling.runs.run_files import Subject
from ..profiling.service import ProfilingService
from ..progress import OnProgress
from ..schema.flashinfer_trace import Solution
from ..settings import Settings
from ..workloads.dataset import Dataset
from ..workloads.operators import Operator
from .messages import ProfiledOnNode, ProfileOnNode
from .operator_files import Files


async def profiled(
    request: ProfileOnNode, settings: Settings, device: str, pool: JudgePool, progress: OnProgress
) -> tuple[ProfiledOnNode, Files]:
    """Carries one request out; the answer, and the files that it names.

    Raises:
        DatasetError: when the operator is not on the node.
        HarnessError: when a tool cannot be used.
    """
    changes = {"build_timeout_s": request.build_timeout_s, "sealed_clock": request.sealed_clock}
    settings = settings.model_copy(update=changes)
    latencies = LastLatencies(settings.evaluations_dir / "latencies")
    service = ProfilingService(settings, device, pool, latencies)
    if request.tool == "calibration":
        path = await service.calibrate(progress, [Microbenchmark(n) for n in request.benchmarks])
        answer = ProfiledOnNode(request_id=request.request_id, record={"path": str(path)})
        files = _files(settings.archive_dir, [path], request.folder)
        return _moved(answer, request, settings), files
    operator = _operator(request)
    solution = Solution.model_validate(request.solution)
    record, reports = await _record(service, request, operator, solution, progress)
    store = ProfileStore(settings.profiles_dir, device_name(device))
    subject = Subject(solution, operator.definition)
    samples = (store.samples(subject, w["uuid"]) for w in record.get("workloads", []))
    latest = settings.profiles_dir / subject.content_hash[:64]
    answer = ProfiledOnNode(
        request_id=request.request_id,
        record=record,
        samples=[found.model_dump(mode="json") for found in samples if found],
    )
    places = [*latest.glob("*.json"), *(p for r in reports for p in Path(r).parent.iterdir())]
    files = _files(settings.archive_dir, places, request.folder)
    return _moved(answer, request, settings), files


async def _record(
    service: ProfilingService,
    request: ProfileOnNode,
    operator: Operator,
    solution: Solution,
    progress: OnProgress,
) -> tuple[dict[str, Any], list[str]]:
    """A dump of what the tool found, and the paths of its reports."""
    if request.tool == "sanitizer":
        found = await service.sanitize(operator, solution, progress)
    elif request.tool == "timeline":
        found = await service.profile_timeline(
            operator, solution, workloads=request.workloads, progress=progress
        )
    else:
        other = request.compare_to
        found = await service.profile_ncu(
            operator,
            solution,
            workloads=request.workloads,
            profile_set=request.profile_set,
            compare_to=Solution.model_validate(other) if other else None,
            progress=progress,
        )
    return found.model_dump(mode="json"), list(found.report_paths)


def _operator(request: ProfileOnNode) -> Operator:
    """The operator as its files on this node have it."""
    roots = [Path(request.dataset_root)] if request.dataset_root else []
    places = [Path(request.operator_dir).parent] if request.operator_dir else []
    places += roots
    if not places:
        raise DatasetError("The operator has no files", remedy="Profile where its dataset lies.")
    return Dataset.load(places[0], places[1:]).operator(str(request.definition["name"]))


def _moved(answer: ProfiledOnNode, request: ProfileOnNode, settings: Settings) -> ProfiledOnNode:
    """The answer with its paths as they will be on the server."""
    text = answer.model_dump_json().replace(str(settings.archive_dir), request.folder)
    return ProfiledOnNode.model_validate_json(text)


def _files(root: Path, places: Iterable[Path], folder: str) -> Files:
    """The contents of some files by their names below a folder; records name the server's paths."""
    found = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in dict.fromkeys(places)
        if path.is_file() and not path.name.startswith(".")
    }
    own, theirs = str(root).encode(), folder.encode()
    return {
        name: content.replace(own, theirs) if name.endswith(".json") else content
        for name, content in found.items()
    }
