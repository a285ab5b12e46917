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
REQUEST_FILE, INPUTS_FILE = "request.json", "inputs.safetensors"
ANSWER_FILE, TRACE_FILE = "answer.json", "trace.json"
"""What a run of a candidate leaves in its folder, the second where its mode is 'timeline'."""


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


def write_request(
    folder: Path,
    subject: Subject,
    workload: WorkloadInputs,
    mode: Mode,
    device: str,
    *,
    warm_calls: int,
    cache: Path | None,
) -> str:
    """Fills a folder for a call of a candidate; the name of the request's file.

    Args:
        cache: of finished builds.

    Raises:
        InfrastructureError: when an output has no shape that could be allocated.
    """
    for name in CACHE_FOLDERS.values():
        (folder / name).mkdir()
    request = _profile_run(subject, workload, mode, folder, device, warm_calls)
    place_file(workload.inputs_file, folder / INPUTS_FILE)
    write_message(request, folder / REQUEST_FILE)
    if cache is not None:
        place_builds(cache, request.build.package, folder)
    return str(folder / REQUEST_FILE)


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


def _profile_run(
    subject: Subject,
    workload: WorkloadInputs,
    mode: Mode,
    folder: Path,
    device: str,
    warm_calls: int,
) -> ProfileRun:
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
        inputs_file=str(folder / INPUTS_FILE),
        input_order=list(definition.inputs),
        outputs=outputs,
        device=device,
        warm_calls=warm_calls,
        answer_file=str(folder / ANSWER_FILE),
        trace_file=str(folder / TRACE_FILE) if mode == "timeline" else None,
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
