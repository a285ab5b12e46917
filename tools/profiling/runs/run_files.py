"""What is profiled, and the files of its run: requests, inputs, finished builds.

The launcher gives the run's folder to the account that the run has.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import InfrastructureError
from ...messages.candidate import BuildRequest
from ...messages.profiler import OutputSpec, ProfileRun, ReplayRun, write_message
from ...messages.zygote import CACHE_FOLDERS, FETCHED_FOLDER
from ...schema.definition import Definition
from ...schema.flashinfer_trace import Solution
from ..diagnosis.bottleneck import NO_FLOORS, WorkFloors

Mode = Literal["counters", "timeline", "sanitizer"]


@dataclass(frozen=True)
class Subject:
    """The solution to profile and its definition."""

    solution: Solution
    definition: Definition

    @property
    def content_hash(self) -> str:
        """Hash of everything in the solution that changes behaviour."""
        return self.solution.content_hash()


@dataclass(frozen=True)
class WorkloadInputs:
    """A workload to profile, with the file of its inputs.

    Attributes:
        axes: sizes of its variable axes.
        inputs_file: safetensors written by the judge for `MaterialiseInputs`.
        floors: what the cost model knows of the work.
    """

    uuid: str
    axes: Mapping[str, int]
    inputs_file: Path
    floors: WorkFloors = NO_FLOORS


@dataclass(frozen=True)
class RecordedWorkload:
    """A workload of which one call was recorded.

    Attributes:
        axes: sizes of its variable axes.
        file: the `ReplayRun` that the judge wrote.
        run: what is in it.
        floors: what the cost model knows of the work.
    """

    uuid: str
    axes: Mapping[str, int]
    file: Path
    run: ReplayRun
    floors: WorkFloors = NO_FLOORS


@dataclass(frozen=True)
class TracedWorkload:
    """A workload of which the judge had one call traced.

    Attributes:
        axes: sizes of its variable axes.
        file: the Chrome trace; untrusted.
        host_us: of unprofiled calls, to their return.
        granted: steps that confined the process.
        missing: those that did not.
    """

    uuid: str
    axes: Mapping[str, int]
    file: Path
    host_us: Sequence[float]
    granted: Sequence[str] = ()
    missing: Sequence[str] = ()


def call_requests(
    folder: Path,
    subject: Subject,
    workloads: Sequence[WorkloadInputs],
    mode: Mode,
    device: str,
    *,
    warm_calls: int,
    cache: Path | None,
) -> dict[str, ProfileRun]:
    """Fills a folder for calls of a candidate; the requests by the names of their files.

    Args:
        cache: of finished builds.
    """
    for name in CACHE_FOLDERS.values():
        (folder / name).mkdir()
    requests: dict[str, ProfileRun] = {}
    for number, workload in enumerate(workloads):
        request = profile_run(subject, workload, mode, folder, device, number)
        place_file(workload.inputs_file, Path(request.inputs_file))
        request = request.model_copy(update={"warm_calls": warm_calls})
        name = folder / f"request-{number}.json"
        write_message(request, name)
        requests[str(name)] = request
    if cache is not None:
        (build,) = {request.build.package for request in requests.values()}
        place_builds(cache, build, folder)
    return requests


def replay_requests(folder: Path, workloads: Sequence[RecordedWorkload]) -> list[str]:
    """Fills a folder for replays of recorded calls; the names of the requests' files."""
    for name in CACHE_FOLDERS.values():
        (folder / name).mkdir()
    for workload in workloads:
        source = workload.file.parent
        write_message(workload.run, folder / workload.file.name)  # a message is never a link
        for name in (workload.run.blobs_file, workload.run.inputs_file):
            place_file(source / name, folder / name)
    return [str(folder / workload.file.name) for workload in workloads]


def profile_run(
    subject: Subject,
    workload: WorkloadInputs,
    mode: Mode,
    folder: Path,
    device: str,
    number: int = 0,
) -> ProfileRun:
    """Builds the request of one call, whose files in the folder have the number in their names.

    Raises:
        InfrastructureError: when an output has no shape that could be allocated.
    """
    solution, definition = subject.solution, subject.definition
    axes = definition.axis_values(workload.axes)
    outputs = [
        OutputSpec(
            name=name,
            shape=[axes[axis] for axis in spec.shape or ()],
            dtype=str(spec.dtype.value),
        )
        for name, spec in definition.outputs.items()
    ]
    return ProfileRun(
        mode=mode,
        build=BuildRequest.of(
            solution.model_dump(mode="json"),
            content_hash=subject.content_hash,
            argument_count=len(definition.inputs),
            output_count=len(definition.outputs),
        ),
        private_dir=str(folder),
        inputs_file=str(folder / f"inputs-{number}.safetensors"),
        input_order=list(definition.inputs),
        outputs=outputs,
        device=device,
        answer_file=str(folder / f"answer-{number}.json"),
        trace_file=str(folder / f"trace-{number}.json") if mode == "timeline" else None,
    )


def place_builds(cache: Path, package: str, folder: Path) -> None:
    """Copies the finished builds of one candidate, and of no other, out of the cache."""
    for library in cache.glob(f"native-*/{package}.so"):
        target = folder / FETCHED_FOLDER / library.parent.name
        with contextlib.suppress(OSError):
            shutil.copytree(library.parent, target)


def place_file(source: Path, target: Path) -> None:
    """Links or copies a file to where the other account can read and not change it.

    A link where everyone may read the file, else a copy.

    Raises:
        InfrastructureError: when the file is missing or cannot be copied.
    """
    try:
        real = source.resolve(strict=True)
        if real.stat().st_mode & 0o004 and all(p.stat().st_mode & 0o001 for p in real.parents):
            target.symlink_to(real)
        else:
            shutil.copyfile(real, target)
            target.chmod(0o644)
    except OSError as error:
        raise InfrastructureError(
            f"A file of the run could not be placed: {error}",
            where=str(source),
            remedy="Profile again: the judge writes them anew.",
        ) from error
