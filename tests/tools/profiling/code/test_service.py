"""Code is compiled once for the same bytes, target and sizes, and kept as files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.errors import CapabilityError, RequestError
from kernel_harness.tools.messages.candidate import CompiledKernel
from kernel_harness.tools.messages.judge import CodeCompiled, CompileCode
from kernel_harness.tools.messages.profiler import CompiledModule, CompiledModules
from kernel_harness.tools.profiling.code import service as code_service
from kernel_harness.tools.profiling.code.service import CodeService
from kernel_harness.tools.profiling.diagnosis.stall_samples import StallSamples
from kernel_harness.tools.profiling.ncu.source_page import read_source_page
from kernel_harness.tools.profiling.runs.profile_store import ProfileStore, device_name
from kernel_harness.tools.profiling.runs.run_files import Subject
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.schema.flashinfer_trace import Solution, Workload
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.operators import Operator

from ....judging import AFFINE, make_solution, read_definition, read_workloads
from ..source_pages import STEP, source_page
from .samples import SASS

pytestmark = pytest.mark.anyio


class ScriptedPool:
    """Answers as a judge does, or says why not."""

    def __init__(self, fault: str | None = None) -> None:
        self.fault = fault
        self.asked: list[CompileCode] = []

    async def ask(self, device: str, request: CompileCode, kind: Any, progress: Any) -> Any:
        self.asked.append(request)
        if self.fault:
            return CodeCompiled(request_id=request.request_id, fault=self.fault)
        path = Path(request.folder) / "code.json"
        module = CompiledModule(
            target=request.target, kernels={"step": "step"}, texts={"sass": SASS}
        )
        path.write_text(CompiledModules(modules=[module]).model_dump_json())
        kernel = CompiledKernel(name="step", target=request.target, registers=40)
        return CodeCompiled(request_id=request.request_id, kernels=[kernel], path=str(path))


@pytest.fixture
def operator() -> Operator:
    definition = read_definition(AFFINE)
    workloads = tuple(Workload.model_validate(one) for one in read_workloads(AFFINE))
    return Operator(definition=definition, workloads=workloads, folder=AFFINE)


def made(tmp_path: Path, device: str = "cpu", fault: str | None = None) -> tuple[Any, CodeService]:
    pool: Any = ScriptedPool(fault)
    return pool, CodeService(Settings(data_dir=tmp_path), device, pool)


def solution(*hardware: str) -> Solution:
    found = make_solution("def run():\n    pass\n", definition="affine_n64")
    if not hardware:
        return found
    spec = found.spec.model_copy(update={"target_hardware": list(hardware)})
    return found.model_copy(update={"spec": spec})


async def test_the_same_code_is_compiled_once_and_lies_in_files(tmp_path, operator):
    pool, service = made(tmp_path)
    first = await service.compiled(operator, solution(), ignore_progress, target="H200")
    again = await service.compiled(operator, solution(), ignore_progress, target="sm_90a")
    assert len(pool.asked) == 1 and pool.asked[0].target == first.target == "sm_90"
    assert again.kernels[0].sass.instructions and again.folder == first.folder
    assert (first.folder / "0.sass").read_text() == SASS
    await service.compiled(operator, solution(), ignore_progress, target="B200")
    largest = max(operator.workloads, key=lambda w: sum(w.axes.values()))
    await service.compiled(operator, solution(), ignore_progress, workload=largest.uuid)
    assert [asked.target for asked in pool.asked] == ["sm_90", "sm_100", "sm_100"]
    assert pool.asked[2].workloads[0].workload["uuid"] == largest.uuid


async def test_a_kept_file_that_cannot_be_read_is_made_anew(tmp_path, operator):
    pool, service = made(tmp_path)
    first = await service.compiled(operator, solution(), ignore_progress)
    (first.folder / "modules.json").write_text("{")
    await service.compiled(operator, solution(), ignore_progress)
    assert len(pool.asked) == 2


async def test_the_gpu_that_is_here_comes_before_the_targets(tmp_path, operator, monkeypatch):
    gpu = SimpleNamespace(compute_capability="9.0")
    monkeypatch.setattr(code_service, "nvidia_devices", lambda: (gpu,))
    _, service = made(tmp_path, "cuda:0")
    found = await service.compiled(operator, solution(), ignore_progress)
    assert found.target == "sm_90"
    _, without = made(tmp_path)
    assert (await without.compiled(operator, solution(), ignore_progress)).target == "sm_100"


async def test_what_it_is_not_for_is_refused_and_what_fails_says_why(tmp_path, operator):
    pool, service = made(tmp_path, fault="it could not be built: no such name")
    with pytest.raises(RequestError, match="for sm_90 alone, not for sm_100"):
        await service.compiled(operator, solution("H200"), ignore_progress, target="B200")
    with pytest.raises(RequestError, match="Nearest"):
        await service.compiled(operator, solution(), ignore_progress, target="sm_1")
    assert pool.asked == []
    with pytest.raises(CapabilityError, match="no such name"):
        await service.compiled(operator, solution("H200"), ignore_progress)
    assert pool.asked[0].target == "sm_90"


async def test_code_has_the_samples_of_a_profile_of_the_same_instructions(tmp_path, operator):
    _, service = made(tmp_path)
    store = ProfileStore(service.settings.profiles_dir, device_name("cpu"))
    subject = Subject(solution(), operator.definition)
    other, same = (workload.uuid for workload in operator.workloads[:2])
    kernels = read_source_page(source_page("step"))
    changed = read_source_page(source_page("step", rows=[*STEP[:-2], STEP[1], STEP[-1]]))
    store.keep_samples(subject, StallSamples(uuid=other, kernels=changed))
    found = await service.compiled(operator, solution(), ignore_progress, workload=other)
    assert found.kernels[0].samples is None, "other instructions ran"
    store.keep_samples(subject, StallSamples(uuid=same, kernels=kernels))
    found = await service.compiled(operator, solution(), ignore_progress, workload=other)
    (kernel,) = found.kernels
    assert kernel.sampled_on == same and kernel.samples == kernels[0]
    assert any("80.0 % long_scoreboard" in line for line in kernel.lines("sass"))
