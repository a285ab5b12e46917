"""Compiles what a call of a candidate launches for a target, and keeps what came out.

The same bytes for the same target and sizes are compiled once: an agent reads code in many slices.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

import anyio
from pydantic import ValidationError

from ...devices.environment import installed_versions
from ...devices.gpus import nvidia_devices
from ...devices.targets import architectures_of, compiled_targets, targets_named
from ...errors import CapabilityError, RequestError
from ...evaluation.judge_pool import JudgePool
from ...messages.judge import CodeCompiled, CompileCode, SeededWorkload
from ...messages.profiler import CODE_BYTES, CompiledModules, read_message
from ...progress import OnProgress
from ...schema.flashinfer_trace import Solution, Workload
from ...settings import Settings
from ...workloads.operators import Operator
from ..diagnosis.stall_samples import StallSamples
from ..inspection import case_of
from ..runs.profile_store import ProfileStore, device_name
from ..runs.run_files import Subject
from .kernels import KernelCode, kernels_of, with_samples

VERSION = "1"
"""Changes when files of earlier versions would be read wrongly."""
SEED = 1
"""Kernels are specialised on sizes and alignments; values do not matter."""


@dataclass(frozen=True)
class CompiledCode:
    """The kernels of one call of a candidate, for one target.

    Attributes:
        folder: where the texts are kept.
    """

    solution_name: str
    content_hash: str
    target: str
    workload: Workload
    kernels: list[KernelCode]
    notes: list[str]
    folder: Path


@dataclass(frozen=True)
class CodeService:
    """Shows the code of candidates."""

    settings: Settings
    device: str
    pool: JudgePool

    async def compiled(
        self,
        operator: Operator,
        solution: Solution,
        progress: OnProgress,
        *,
        target: str | None = None,
        workload: str | None = None,
    ) -> CompiledCode:
        """What one call launches, compiled for a target; no kernel of it runs.

        Args:
            target: a device or an architecture; None: the device here, else the first of the
                setting `targets`.
            workload: a uuid; None: the smallest.

        Raises:
            RequestError: when the target is none, or the candidate does not compile for it.
        """
        operator.require_workloads()
        case = case_of(operator, workload, None)
        asked = self._target(solution, target)
        content = solution.content_hash()
        folder = self._folder(operator, content, asked, case)
        found = await anyio.to_thread.run_sync(_kept, folder)
        if found is None:
            found = await self._compile(operator, solution, asked, case, folder, progress)
        answer, modules = found
        subject = Subject(solution, operator.definition)
        sampled = await anyio.to_thread.run_sync(self._samples, operator, subject, case.uuid)
        return CompiledCode(
            solution_name=solution.name,
            content_hash=content,
            target=asked,
            workload=case,
            kernels=with_samples(kernels_of(answer.kernels, modules.modules), sampled),
            notes=list(answer.notes),
            folder=folder,
        )

    def _samples(self, operator: Operator, subject: Subject, first: str) -> list[StallSamples]:
        """What profiles of this candidate on this device sampled, of one workload first."""
        store = ProfileStore(self.settings.profiles_dir, device_name(self.device))
        uuids = dict.fromkeys([first, *(workload.uuid for workload in operator.workloads)])
        return [got for uuid in uuids if (got := store.samples(subject, uuid)) is not None]

    def _target(self, solution: Solution, target: str | None) -> str:
        """The architecture to compile for."""
        table = self.settings.kernels_dir / "hardware.json"
        if target is not None:
            due = architectures_of(targets_named([target], table))
            own = architectures_of(solution.spec.target_hardware)
            if own and due[0] not in own:
                raise RequestError(
                    f"The candidate says that it is for {', '.join(own)} alone, not for {due[0]}",
                    remedy="Ask for one of those, or widen target_hardware.",
                )
            return due[0]
        here = nvidia_devices() if self.device.startswith("cuda") else ()
        names = [f"sm_{(gpu.compute_capability or '').replace('.', '')}" for gpu in here[:1]]
        names += self.settings.targets
        return compiled_targets(names, solution.spec.target_hardware, ["sm_90"])[0]

    def _folder(self, operator: Operator, content: str, target: str, case: Workload) -> Path:
        parts = [VERSION, content, target, case.model_dump_json(), installed_versions()]
        parts.append(operator.definition.model_dump_json())
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        return self.settings.profiles_dir / f"code-{operator.name[:60]}-{digest}"

    async def _compile(
        self,
        operator: Operator,
        solution: Solution,
        target: str,
        case: Workload,
        folder: Path,
        progress: OnProgress,
    ) -> tuple[CodeCompiled, CompiledModules]:
        with tempfile.TemporaryDirectory(prefix="kernel-harness-code-") as place:
            request = CompileCode(
                request_id=secrets.token_hex(8),
                **operator.for_judge,
                solution=solution.model_dump(mode="json"),
                content_hash=solution.content_hash(),
                workloads=[SeededWorkload(workload=case.model_dump(mode="json"), seed=SEED)],
                folder=place,
                build_timeout_s=self.settings.build_timeout_s,
                call_timeout_s=self.settings.call_timeout_s,
                target=target,
            )
            await progress(0, 1, f"compiling for {target}")
            answer = await self.pool.ask(self.device, request, CodeCompiled, progress)
            if answer.path is None:
                raise CapabilityError(
                    f"There is no code of {solution.name} for {target}: {answer.fault}",
                    remedy="What calls torch's operators alone has no kernels of its own; of other "
                    "programs evaluate_kernel(scope='static') says more.",
                )
            path = Path(answer.path)
            modules = await anyio.to_thread.run_sync(
                read_message, CompiledModules, path, CODE_BYTES
            )
        await anyio.to_thread.run_sync(_keep, folder, answer, modules)
        return answer, modules


def _keep(folder: Path, answer: CodeCompiled, modules: CompiledModules) -> None:
    """Writes texts as files that people can open, and what is read again."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, module in enumerate(modules.modules):
        for form, text in module.texts.items():
            (folder / f"{number}.{form}").write_text(text, encoding="utf-8")
    (folder / "modules.json").write_text(modules.model_dump_json(), encoding="utf-8")
    (folder / "answer.json").write_text(answer.model_dump_json(), encoding="utf-8")


def _kept(folder: Path) -> tuple[CodeCompiled, CompiledModules] | None:
    try:
        answer = CodeCompiled.model_validate_json((folder / "answer.json").read_bytes())
        modules = CompiledModules.model_validate_json((folder / "modules.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return answer, modules
