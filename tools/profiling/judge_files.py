"""Files that the judge writes for one profile: inputs, recorded calls, traces of calls.

The inputs of a workload are the same for every candidate of the profile, recorded or not.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from ..errors import HarnessError, InfrastructureError
from ..evaluation.judge_pool import JudgePool
from ..messages.judge import (
    CallsRecorded,
    CallsTraced,
    Materialised,
    MaterialiseInputs,
    RecordCalls,
    SeededWorkload,
    TraceCalls,
)
from ..messages.profiler import ReplayRun, read_message
from ..progress import OnProgress
from ..text import short_uuid
from ..workloads.operators import Operator
from .diagnosis.bottleneck import WorkFloors
from .runs.run_files import RecordedWorkload, Subject, TracedWorkload, WorkloadInputs

SEED_BITS = 53


@dataclass(frozen=True)
class Recordings:
    """Recorded calls, and why there is none of the other workloads, by uuid."""

    workloads: list[RecordedWorkload] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)


class JudgeFiles:
    """The files of one profile, made when they are first asked for.

    Args:
        device: whose judge writes them.
        folder: empty; the caller removes it.
        floors_of: what the cost model knows of a workload, by uuid.
    """

    def __init__(
        self,
        pool: JudgePool,
        device: str,
        operator: Operator,
        folder: Path,
        floors_of: Callable[[str], WorkFloors],
    ) -> None:
        self._pool, self._device, self._operator = pool, device, operator
        self._folder, self._floors_of = folder, floors_of
        self._folders = 0
        self._seeds: dict[str, int] = {}
        self._inputs: dict[str, WorkloadInputs] = {}

    async def inputs(self, uuids: Sequence[str], progress: OnProgress) -> list[WorkloadInputs]:
        """The inputs of workloads.

        Raises:
            InfrastructureError: when they could not be made or written.
        """
        for position, uuid in enumerate(uuids):
            if uuid not in self._inputs:
                await progress(position, len(uuids), f"making inputs of {short_uuid(uuid)}")
                self._inputs[uuid] = await self._written(uuid, progress)
        return [self._inputs[uuid] for uuid in uuids]

    async def recorded(
        self, subject: Subject, uuids: Sequence[str], build_timeout_s: float, progress: OnProgress
    ) -> Recordings:
        """Recorded calls of a subject, on the workloads on which one can be recorded.

        Raises:
            InfrastructureError: when the judge died.
        """
        await progress(0, len(uuids), "recording calls")
        asked = RecordCalls(**await self._called(subject, uuids, build_timeout_s))
        answer = await self._pool.ask(self._device, asked, CallsRecorded, progress)
        found = Recordings()
        for uuid, call in zip(uuids, answer.calls, strict=True):
            try:
                if call.path is not None:
                    found.workloads.append(await self._recorded(uuid, Path(call.path)))
                    continue
                reason = call.reason or "its call was not recorded"
            except HarnessError as error:
                reason = str(error)
            found.reasons[uuid] = reason
        return found

    async def traced(
        self, subject: Subject, uuids: Sequence[str], build_timeout_s: float, progress: OnProgress
    ) -> list[TracedWorkload]:
        """Traced calls of a subject, on the workloads on which one could be traced.

        Raises:
            InfrastructureError: when the judge died.
        """
        await progress(0, len(uuids), "tracing calls")
        asked = TraceCalls(**await self._called(subject, uuids, build_timeout_s))
        answer = await self._pool.ask(self._device, asked, CallsTraced, progress)
        return [
            TracedWorkload(
                uuid,
                dict(self._operator.workload(uuid).axes),
                Path(call.path),
                call.host_us,
                answer.granted,
                answer.missing,
            )
            for uuid, call in zip(uuids, answer.calls, strict=True)
            if call.path is not None
        ]

    async def _called(
        self, subject: Subject, uuids: Sequence[str], build_timeout_s: float
    ) -> dict[str, Any]:
        """The fields of a request to call a subject, with a folder of its own."""
        folder = self._folder / f"calls-{self._folders}"
        self._folders += 1
        await anyio.to_thread.run_sync(folder.mkdir, 0o711)
        return {
            **self._operator.for_judge,
            "request_id": secrets.token_hex(8),
            "solution": subject.solution.model_dump(mode="json"),
            "content_hash": subject.content_hash,
            "workloads": [
                SeededWorkload(workload=self._dumped(uuid), seed=self._seed(uuid)) for uuid in uuids
            ],
            "folder": str(folder),
            "build_timeout_s": build_timeout_s,
        }

    async def _recorded(self, uuid: str, path: Path) -> RecordedWorkload:
        run = await anyio.to_thread.run_sync(read_message, ReplayRun, path)
        axes = dict(self._operator.workload(uuid).axes)
        floors = await anyio.to_thread.run_sync(self._floors_of, uuid)
        return RecordedWorkload(uuid, axes, path, run, floors)

    async def _written(self, uuid: str, progress: OnProgress) -> WorkloadInputs:
        path = self._folder / f"{len(self._inputs)}.safetensors"
        request = MaterialiseInputs(
            request_id=secrets.token_hex(8),
            **self._operator.for_judge,
            workload=self._dumped(uuid),
            seed=self._seed(uuid),
            path=str(path),
        )
        answer = await self._pool.ask(self._device, request, Materialised, progress)
        if answer.error:
            raise InfrastructureError(f"Inputs could not be written: {answer.error}")
        axes = dict(self._operator.workload(uuid).axes)
        floors = await anyio.to_thread.run_sync(self._floors_of, uuid)
        return WorkloadInputs(uuid, axes, path, floors)

    def _dumped(self, uuid: str) -> dict[str, Any]:
        return self._operator.workload(uuid).model_dump(mode="json")

    def _seed(self, uuid: str) -> int:
        return self._seeds.setdefault(uuid, secrets.randbits(SEED_BITS))
