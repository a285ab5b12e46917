"""Looking into a candidate on this harness's device: profiles, timelines, sanitizer runs.

It chooses the workloads that matter, has the judge write their inputs, reserves the device, and
hands both to the profiler. What was found is kept by the candidate's content, so that archiving it
later takes its profiles along.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .devices.calibration import calibration_folder, with_calibration
from .devices.hardware import Hardware, identify, load_hardware
from .devices.roofline import floors
from .errors import unknown_name
from .evaluation.judge_pool import JudgePool
from .evaluation.record_store import LastLatencies
from .messages.judge import MaterialiseInputs
from .profiling.calibrated import calibrate
from .profiling.ncu.command import ProfileSet
from .profiling.runs.profiles import Profile, compare_profiles
from .profiling.runs.tool_run import Subject, WorkloadInputs
from .profiling.sanitizer.findings import SanitizerReport
from .profiling.service import UNAVAILABLE, Profiler, bounds_of
from .profiling.timeline.chrome_trace import Timeline
from .schema.flashinfer_trace import Solution
from .settings import Settings
from .workloads.operators import Operator
from .workloads.regimes import sample_shapes

OnProgress = Callable[[float, float, str], Awaitable[None]]
HEAVIEST = 2
R = TypeVar("R", Profile, Timeline, SanitizerReport)


async def _silent(done: float, total: float, message: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Inspection:
    """Profiles candidates of one harness.

    Args:
        settings: where profiles are kept.
        device: 'cuda:N' or 'cpu'.
        pool: the judges, which make inputs and hold the device.
        latencies: what the choice of workloads goes by.
    """

    settings: Settings
    device: str
    pool: JudgePool
    latencies: LastLatencies
    profiler: Profiler

    def kill(self) -> None:
        """Kills every run at once; safe to call from a signal's handler."""
        self.profiler.kill()

    async def profile_ncu(
        self,
        operator: Operator,
        solution: Solution,
        *,
        workloads: Sequence[str] = (),
        profile_set: str = ProfileSet.DETAILED,
        compare_to: Solution | None = None,
        progress: OnProgress | None = None,
    ) -> Profile:
        """Profiles one call on each workload; those with the most latency when none is named.

        Args:
            operator: what the solution is for.
            solution: what is profiled.
            workloads: uuids or beginnings of them.
            profile_set: 'basic', 'detailed' or 'full'.
            compare_to: profiled too, on the same inputs; the differences are in the result.
            progress: told each step.
        """
        if profile_set not in list(ProfileSet):
            raise unknown_name("profile set", profile_set, list(ProfileSet))
        chosen = ProfileSet(profile_set)
        tell = progress or _silent
        with tempfile.TemporaryDirectory(prefix="kernel-harness-inputs-") as folder:
            inputs = await self._inputs(operator, workloads, Path(folder), tell)
            async with self.pool.reserved(self.device, tell):
                subject = Subject(solution, operator.definition)
                profile = await self.profiler.profile_ncu(
                    subject, inputs, profile_set=chosen, progress=tell
                )
                if compare_to is not None:
                    other = await self.profiler.profile_ncu(
                        Subject(compare_to, operator.definition),
                        inputs,
                        profile_set=chosen,
                        progress=tell,
                    )
                    profile = compare_profiles(profile, other)
        return self._kept(profile, solution, f"{profile.tool}-{chosen.value}")

    async def profile_timeline(
        self,
        operator: Operator,
        solution: Solution,
        *,
        workloads: Sequence[str] = (),
        progress: OnProgress | None = None,
    ) -> Timeline:
        """Traces one call on each workload: kernels, copies, gaps, the host's time, streams."""
        tell = progress or _silent
        with tempfile.TemporaryDirectory(prefix="kernel-harness-inputs-") as folder:
            inputs = await self._inputs(operator, workloads, Path(folder), tell)
            async with self.pool.reserved(self.device, tell):
                subject = Subject(solution, operator.definition)
                timeline = await self.profiler.profile_timeline(subject, inputs, progress=tell)
        return self._kept(timeline, solution, "timeline")

    async def sanitize(
        self, operator: Operator, solution: Solution, progress: OnProgress | None = None
    ) -> SanitizerReport:
        """Runs one call on the smallest workload under compute-sanitizer's four tools."""
        tell = progress or _silent
        smallest = min(operator.workloads, key=lambda w: sum(w.axes.values())).uuid
        with tempfile.TemporaryDirectory(prefix="kernel-harness-inputs-") as folder:
            inputs = await self._inputs(operator, [smallest], Path(folder), tell)
            async with self.pool.reserved(self.device, tell):
                subject = Subject(solution, operator.definition)
                report = await self.profiler.sanitize(subject, inputs, progress=tell)
        return self._kept(report, solution, "sanitizer")

    async def calibrate(self, progress: OnProgress | None = None) -> Path:
        """Measures the device's rates and keeps them; about a minute with the device to itself.

        Raises:
            CapabilityError: when there is no GPU.
        """
        tell = progress or _silent
        async with self.pool.reserved(self.device, tell):
            await tell(0, 1, f"measuring {self.device}")
            return await calibrate(self.settings, self.device, self.profiler.runs)

    async def _inputs(
        self, operator: Operator, uuids: Sequence[str], folder: Path, tell: OnProgress
    ) -> list[WorkloadInputs]:
        """Has the judge write each workload's inputs; nothing to write without a GPU."""
        if self.device == "cpu":
            return []
        made = []
        for position, uuid in enumerate(self._chosen(operator, uuids)):
            await tell(position, len(uuids) or HEAVIEST, f"making inputs of {uuid[:8]}")
            workload = operator.workload(uuid)
            path = folder / f"{position}.safetensors"
            await self.pool.materialise(
                self.device,
                MaterialiseInputs(
                    request_id=secrets.token_hex(8),
                    definition=operator.definition.model_dump(mode="json"),
                    operator_dir=str(operator.folder) if operator.folder else None,
                    dataset_root=str(operator.root) if operator.root else None,
                    workload=workload.model_dump(mode="json"),
                    seed=secrets.randbits(62),
                    path=str(path),
                ),
            )
            cost = operator.cost(workload.axes, structure=operator.structure.get(uuid))
            known = self._hardware()
            bounds = bounds_of(cost, floors(cost, known) if known else None)
            made.append(WorkloadInputs(uuid, dict(workload.axes), path, bounds))
        return made

    def _chosen(self, operator: Operator, uuids: Sequence[str]) -> list[str]:
        if uuids:
            return [operator.workload(uuid).uuid for uuid in uuids]
        sample = sample_shapes(operator, self.latencies.get(operator.name) or None)
        regimes = sorted(sample.regimes, key=lambda r: -(r.latency_share or 0))
        return [regime.representative for regime in regimes[:HEAVIEST]]

    def _hardware(self) -> Hardware | None:
        ready = self.pool.ready(self.device)
        if ready is None:
            return None
        table = load_hardware(self.settings.kernels_dir / "hardware.json")
        device = ready.device
        known = identify(device["name"], device.get("sm_count"), None, table)
        return known and with_calibration(known, calibration_folder(self.settings))

    def _kept(self, record: R, solution: Solution, name: str) -> R:
        """Keeps what was found beside the profiles, by the candidate's content."""
        if record.tool == UNAVAILABLE:
            return record
        folder = self.settings.profiles_dir / solution.content_hash()[:64]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(record.model_dump_json(indent=1), encoding="utf-8")
        return record
