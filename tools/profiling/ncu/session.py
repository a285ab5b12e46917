"""Profiles workloads with Nsight Compute: runs, reads the report, diagnoses, keeps.

Recorded calls are replayed under it, several in one process; a candidate of which no call could be
recorded is called itself.

Whether counters may be read shows only when they are: a refusal is a value, and the caller decides
what to use instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

from ...devices.environment import MachineTools
from ...errors import InfrastructureError
from ...messages.profiler import LaunchOutcome
from ..diagnosis.bottleneck import diagnose_call
from ..diagnosis.hints import hints_for
from ..diagnosis.stall_samples import SampledKernel, StallSamples, merged, stall_spots
from ..runs.profile_store import ProfileStore
from ..runs.profiles import NCU, WorkloadProfile, isolation_of
from ..runs.run_files import RecordedWorkload, Subject, WorkloadInputs
from ..runs.tool_run import Finished, ProfileRunner, side_by_side
from .command import (
    MAX_LAUNCHES,
    OF_ONE_WORKLOAD,
    ProfileSet,
    Refusal,
    import_command,
    ncu_command,
    refusal_of,
    rules_command,
    source_command,
)
from .kernel_profiles import RawKernel, kernel_profiles
from .report import launch_texts, read_report
from .source_page import read_source_page

READ_S = 120.0
READ_BYTES = 128 << 20
RECORD = "profile.json"
REPORT = "report.txt"
WRITTEN = "report.ncu-rep"
SPOTS = 3
REPLAY_REMEDY = "The candidate itself is called under the profiler instead."
T = TypeVar("T")


@dataclass(frozen=True)
class Replays:
    """What became of recorded calls under Nsight Compute, by uuid.

    Attributes:
        reasons: why a call has no profile.
        refusal: why no other call would have one either.
    """

    profiles: dict[str, WorkloadProfile] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    refusal: Refusal | None = None


@dataclass(frozen=True)
class NcuSession:
    """Nsight Compute on one device, with one set of counters."""

    runner: ProfileRunner
    store: ProfileStore
    tools: MachineTools
    profile_set: ProfileSet
    timeout_s: float

    def kept(self, subject: Subject, uuid: str) -> WorkloadProfile | None:
        """The profile of a workload that was made before."""
        found = self.store.kept(self._folder(subject, uuid), RECORD, WorkloadProfile)
        return found and found.model_copy(update={"cached": True})

    async def profile(
        self, subject: Subject, workload: WorkloadInputs
    ) -> WorkloadProfile | Refusal:
        """Profiles a call of the candidate's on one workload, or takes a kept profile.

        Raises:
            InfrastructureError: when a run could not be started or its report not read.
        """
        kept = self.kept(subject, workload.uuid)
        if kept is not None:
            return kept
        folder = self._folder(subject, workload.uuid)
        found = await self._permitted(lambda keep: self._run(subject, workload, folder, keep=keep))
        if isinstance(found, WorkloadProfile) and found.failure is None:
            self.store.keep(folder, RECORD, found)
        return found

    async def profile_replays(
        self, subject: Subject, workloads: Sequence[RecordedWorkload]
    ) -> Replays:
        """Profiles recorded calls, as many in one process as may be.

        Raises:
            InfrastructureError: when a run could not be started or its report not read.
        """
        found = Replays()
        for group in groups(workloads):
            got = await self._permitted(lambda keep, group=group: self._replay(group, keep=keep))
            if isinstance(got, Refusal):
                words = f"{got.what}. {got.remedy}"
                found.reasons.update({workload.uuid: words for workload in group})
                if got.kind not in OF_ONE_WORKLOAD:
                    return replace(found, refusal=got)
                continue
            for workload, (profile, report) in zip(group, got, strict=True):
                folder = self._folder(subject, workload.uuid)
                kept = self._with_report(subject, folder, profile, report)
                self.store.keep(folder, RECORD, kept)
                found.profiles[workload.uuid] = kept
        return found

    def _folder(self, subject: Subject, uuid: str) -> Path:
        how = f"{self.tools.ncu.version} {self.profile_set.value}"
        return self.store.folder("ncu", subject, uuid, how)

    async def _permitted(self, run: Callable[[bool], Awaitable[T | Refusal]]) -> T | Refusal:
        """Runs with what the driver demands for counters, where this account has it to give."""
        administrator = self.tools.administrator
        keep = self.tools.admin_only and administrator
        found = await run(keep)
        refused = isinstance(found, Refusal) and found.kind == "permission"
        return await run(True) if refused and administrator and not keep else found

    async def _run(
        self, subject: Subject, workload: WorkloadInputs, folder: Path, *, keep: bool
    ) -> WorkloadProfile | Refusal:
        async with self.runner.run(
            subject, workload, "counters", self._wrap, timeout_s=self.timeout_s, keep_counters=keep
        ) as result:
            how = _How(result.outcome, result.finished.seconds)
            if result.failure is not None:
                return _entry(workload, how, failure=result.failure)
            report = await self._read(result.folder, result.finished)
        if isinstance(report, Refusal):
            return report
        profile = _entry(workload, how, raw=report.launches)
        return self._with_report(subject, folder, profile, report)

    def _with_report(
        self, subject: Subject, folder: Path, profile: WorkloadProfile, report: _Report
    ) -> WorkloadProfile:
        """A profile of one call with what its report has beside figures, which is written."""
        path = self.store.keep_text(folder, REPORT, report.text)
        sampled = merged(report.sampled)
        if sampled:
            self.store.keep_samples(subject, StallSamples(uuid=profile.uuid, kernels=sampled))
        extra = {
            "report_path": str(path),
            "stall_spots": stall_spots(sampled, SPOTS),
            "stall_samples": sum(kernel.samples for kernel in sampled),
        }
        return profile.model_copy(update=extra)

    async def _replay(
        self, workloads: Sequence[RecordedWorkload], *, keep: bool
    ) -> list[tuple[WorkloadProfile, _Report]] | Refusal:
        """A profile of each, with the part of the report that is of its launches."""
        async with self.runner.replay_all(
            workloads, self._wrap, timeout_s=self.timeout_s, keep_counters=keep
        ) as result:
            report = await self._read(result.folder, result.finished)
            if result.failure is not None and not _of_the_machine(report):
                return Refusal("unexplained", f"The replay failed: {result.failure}", REPLAY_REMEDY)
        if isinstance(report, Refusal):
            return report
        counts = [_profiled(workload) for workload in workloads]
        if len(report.launches) != sum(counts):
            words = f"{len(report.launches)} of {sum(counts)} launches were profiled"
            return Refusal("unexplained", words, REPLAY_REMEDY)
        texts = launch_texts(report.text, sum(counts))
        found: list[tuple[WorkloadProfile, _Report]] = []
        how = _How(result.outcome, result.finished.seconds / len(workloads))
        for workload, end, count in zip(workloads, accumulate(counts), counts, strict=True):
            part = slice(end - count, end)
            profile = _entry(workload, how, raw=report.launches[part])
            text = report.text if texts is None else "".join(texts[part])
            own = _Report(report.launches[part], text, report.sampled[part])
            found.append((profile.model_copy(update={"replayed": True}), own))
        return found

    def _wrap(self, private: Path, target: Sequence[str]) -> list[str]:
        return ncu_command(self._ncu, self.profile_set, private / WRITTEN, target)

    @property
    def _ncu(self) -> str:
        assert self.tools.ncu.path is not None
        return self.tools.ncu.path

    async def _read(self, folder: Path, finished: Finished) -> _Report | Refusal:
        """The report that a run left, or why there is none."""
        refusal = refusal_of(finished.output) or _unexplained(finished)
        written = folder / WRITTEN
        if not written.is_file() or written.is_symlink():
            return refusal
        pages = (
            import_command(self._ncu, written, "raw"),
            rules_command(self._ncu, written),
            import_command(self._ncu, written, "details"),
        )
        source = self._source(written)
        raw, rules, text, sampled = await side_by_side([*map(self._print, pages), source])
        launches = read_report(raw, rules)
        if not launches:
            return refusal
        return _Report(launches, text, _named(read_source_page(sampled), launches))

    async def _source(self, written: Path) -> str:
        """The page of sampled instructions; empty where it is not asked for or there is none.

        A profile is whole without it: the set may hold no samples, and older releases cannot print
        it.
        """
        if self.profile_set is ProfileSet.BASIC:
            return ""
        command = source_command(self._ncu, written)
        done = await self.runner.execute(command, timeout_s=READ_S, keep_bytes=READ_BYTES)
        return done.output if done.status == 0 else ""

    async def _print(self, command: Sequence[str]) -> str:
        done = await self.runner.execute(command, timeout_s=READ_S, keep_bytes=READ_BYTES)
        if done.status != 0:
            raise InfrastructureError(
                f"Nsight Compute could not read its own report: {done.output.strip()[-400:]}",
                where="ncu --import",
                remedy="Profile again; if it persists, reinstall Nsight Compute.",
            )
        return done.output


@dataclass(frozen=True)
class _Report:
    """Launches of a report, its details as text, and each launch's samples where it has them."""

    launches: list[RawKernel]
    text: str
    sampled: list[SampledKernel] = field(default_factory=list)


@dataclass(frozen=True)
class _How:
    """What a run was granted, and how long it took."""

    outcome: LaunchOutcome | None
    seconds: float


def _named(sampled: list[SampledKernel], launches: Sequence[RawKernel]) -> list[SampledKernel]:
    """Samples of each launch under the name that its counters have; none where they do not fit."""
    if len(sampled) != len(launches):
        return []
    pairs = zip(sampled, launches, strict=True)
    return [one.model_copy(update={"name": launch.name}) for one, launch in pairs]


def groups(workloads: Sequence[RecordedWorkload]) -> list[list[RecordedWorkload]]:
    """The workloads in groups of which one process profiles every launch that is to be."""
    found: list[list[RecordedWorkload]] = []
    left = 0
    for workload in workloads:
        count = _profiled(workload)
        if count > left or not found:
            found.append([])
            left = MAX_LAUNCHES
        found[-1].append(workload)
        left -= count
    return found


def _profiled(workload: RecordedWorkload) -> int:
    """How many of a call's launches are profiled."""
    return min(len(workload.run.plan.kernels), MAX_LAUNCHES)


def _of_the_machine(found: _Report | Refusal) -> bool:
    return isinstance(found, Refusal) and found.kind not in OF_ONE_WORKLOAD


def _entry(
    workload: WorkloadInputs | RecordedWorkload,
    how: _How,
    *,
    raw: Sequence[RawKernel] = (),
    failure: str | None = None,
) -> WorkloadProfile:
    kernels = kernel_profiles(raw)
    diagnosis = diagnose_call(kernels, workload.floors)
    outcome = how.outcome
    return WorkloadProfile(
        uuid=workload.uuid,
        axes=dict(workload.axes),
        tool=NCU,
        kernels=kernels,
        bottleneck=diagnosis,
        hints=hints_for(kernels[0], diagnosis, workload.floors) if diagnosis else [],
        total_us=sum(kernel.duration_us or 0.0 for kernel in kernels) if kernels else None,
        failure=failure,
        isolation=isolation_of(outcome.granted, outcome.missing) if outcome else None,
        seconds=round(how.seconds, 3),
    )


def _unexplained(finished: Finished) -> Refusal:
    if finished.timed_out:
        return Refusal(
            "timeout",
            f"Nsight Compute did not finish in {finished.seconds:.0f} s",
            "Profile a smaller workload or a smaller set.",
        )
    tail = " ".join(finished.output.split())[-300:]
    printed = tail or "it printed nothing"
    return Refusal(
        "unexplained",
        f"Nsight Compute left no report (exit status {finished.status}): {printed}",
        "Run profile_timeline, or check_environment for what is missing.",
    )
