"""Profiles one workload with Nsight Compute: runs, reads the report, diagnoses, keeps.

Whether counters may be read shows only when they are: a refusal is a value, and the caller decides
what to use instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...devices.environment import MachineTools
from ...errors import InfrastructureError
from ..diagnosis.bottleneck import diagnose_call
from ..diagnosis.hints import hints_for
from ..runs.profile_store import ProfileStore
from ..runs.profiles import NCU, WorkloadProfile, isolation_of
from ..runs.tool_run import ProfileRunner, RunResult, Subject, WorkloadInputs
from .command import (
    ProfileSet,
    Refusal,
    import_command,
    ncu_command,
    refusal_of,
    rules_command,
)
from .kernel_profiles import RawKernel, kernel_profiles
from .report import read_report

READ_S = 120.0
READ_BYTES = 128 << 20
RECORD = "profile.json"
REPORT = "report.txt"


@dataclass(frozen=True)
class NcuSession:
    """Nsight Compute on one device, with one set of counters."""

    runner: ProfileRunner
    store: ProfileStore
    tools: MachineTools
    profile_set: ProfileSet
    timeout_s: float

    async def profile(
        self, subject: Subject, workload: WorkloadInputs
    ) -> WorkloadProfile | Refusal:
        """Profiles one workload, or takes a kept profile.

        Raises:
            InfrastructureError: when a run could not be started or its report not read.
        """
        how = f"{self.tools.ncu.version} {self.profile_set.value}"
        folder = self.store.folder("ncu", subject, workload, how)
        kept = self.store.kept(folder, RECORD, WorkloadProfile)
        if kept is not None:
            return kept.model_copy(update={"cached": True})
        administrator = self.tools.administrator
        keep = self.tools.admin_only and administrator
        found = await self._run(subject, workload, folder, keep=keep)
        refused = isinstance(found, Refusal) and found.kind == "permission"
        if refused and administrator and not keep:
            found = await self._run(subject, workload, folder, keep=True)
        if isinstance(found, WorkloadProfile) and found.failure is None:
            self.store.keep(folder, RECORD, found)
        return found

    async def _run(
        self, subject: Subject, workload: WorkloadInputs, folder: Path, *, keep: bool
    ) -> WorkloadProfile | Refusal:
        ncu = self.tools.ncu.path
        assert ncu is not None

        def wrap(private: Path, target: Sequence[str]) -> list[str]:
            return ncu_command(ncu, self.profile_set, private / "report.ncu-rep", target)

        async with self.runner.run(
            subject, workload, "counters", wrap, timeout_s=self.timeout_s, keep_counters=keep
        ) as result:
            if result.failure is not None:
                return _entry(workload, result, failure=result.failure)
            refusal = refusal_of(result.finished.output) or _unexplained(result)
            report = result.folder / "report.ncu-rep"
            if not report.is_file() or report.is_symlink():
                return refusal
            raw = read_report(
                await self._print(import_command(ncu, report, "raw")),
                await self._print(rules_command(ncu, report)),
            )
            if not raw:
                return refusal
            text = await self._print(import_command(ncu, report, "details"))
        path = self.store.keep_text(folder, REPORT, text)
        return _entry(workload, result, raw=raw, report=path)

    async def _print(self, command: Sequence[str]) -> str:
        done = await self.runner.execute(command, timeout_s=READ_S, keep_bytes=READ_BYTES)
        if done.status != 0:
            raise InfrastructureError(
                f"Nsight Compute could not read its own report: {done.output.strip()[-400:]}",
                where="ncu --import",
                remedy="Profile again; if it persists, reinstall Nsight Compute.",
            )
        return done.output


def _entry(
    workload: WorkloadInputs,
    result: RunResult,
    *,
    raw: Sequence[RawKernel] = (),
    report: Path | None = None,
    failure: str | None = None,
) -> WorkloadProfile:
    kernels = kernel_profiles(raw)
    diagnosis = diagnose_call(kernels, workload.floors)
    outcome = result.outcome
    return WorkloadProfile(
        uuid=workload.uuid,
        axes=dict(workload.axes),
        tool=NCU,
        kernels=kernels,
        bottleneck=diagnosis,
        hints=hints_for(kernels[0], diagnosis, workload.floors) if diagnosis else [],
        total_us=sum(kernel.duration_us or 0.0 for kernel in kernels) if kernels else None,
        failure=failure,
        report_path=str(report) if report else None,
        isolation=isolation_of(outcome.granted, outcome.missing) if outcome else None,
        seconds=round(result.finished.seconds, 3),
    )


def _unexplained(result: RunResult) -> Refusal:
    finished = result.finished
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
