"""On a GPU: kernels of known character are named right, and only the candidate is profiled."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import anyio
import pytest
import torch

from kernel_harness.tools.devices.environment import find_tools
from kernel_harness.tools.devices.hardware import Calibration, identify
from kernel_harness.tools.devices.measurements import Microbenchmark, parts_of
from kernel_harness.tools.evaluation.records.last_latencies import LastLatencies
from kernel_harness.tools.judge import calibrate as calibration
from kernel_harness.tools.messages.judge import (
    CallsRecorded,
    Materialised,
    MaterialiseInputs,
    RecordedFile,
)
from kernel_harness.tools.profiling.runs.profiles import NCU, compare_profiles
from kernel_harness.tools.profiling.sanitizer.findings import SanitizerTool
from kernel_harness.tools.profiling.sanitizer.session import run_tool
from kernel_harness.tools.profiling.service import ProfilingService
from kernel_harness.tools.schema.flashinfer_trace import Workload
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.operators import Operator

pytestmark = [pytest.mark.gpu, pytest.mark.alone, pytest.mark.timeout(300)]


def _known_kernels():
    path = Path(__file__).with_name("known_kernels.py")
    spec = spec_from_file_location("known_kernels", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


kernels = _known_kernels()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("profiling")


class Pool:
    """Stands for the judges: inputs are those that a known kernel brings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ready(self, device: str) -> None:
        """No facts of the device, so no floors."""

    async def ask(self, device, request, kind, progress) -> Materialised | CallsRecorded:
        """No process records here: each call is the candidate's own."""
        if isinstance(request, MaterialiseInputs):
            kernel = kernels.known(request.workload["uuid"])
            shutil.copyfile(kernel.workload(self._folder).inputs_file, request.path)
            return Materialised(request_id=request.request_id)
        calls = [RecordedFile(reason="nothing records here")] * len(request.workloads)
        return CallsRecorded(request_id=request.request_id, calls=calls)

    @contextlib.asynccontextmanager
    async def reserved(self, device, progress):
        yield


@pytest.fixture(scope="module")
def profiling(folder) -> ProfilingService:
    settings, latencies = Settings(data_dir=folder), LastLatencies(folder / "latencies")
    return ProfilingService(settings, "cuda:0", Pool(folder), latencies)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def counters():
    tools = find_tools()
    if not tools.counters.found:
        pytest.skip(f"{tools.counters.reason} {tools.counters.remedy}")


def operator_of(kernel) -> Operator:
    workload = {"uuid": kernel.name, "axes": {}, "inputs": {"x": {"type": "random"}}}
    definition = kernel.subject().definition
    return Operator(definition=definition, workloads=(Workload.model_validate(workload),))


def profiled(profiling, kernel):
    solution = kernel.subject().solution
    return anyio.run(partial(profiling.profile_ncu, operator_of(kernel), solution))


def traced(profiling, kernel):
    solution = kernel.subject().solution
    return anyio.run(partial(profiling.profile_timeline, operator_of(kernel), solution)).workloads[
        0
    ]


@pytest.mark.parametrize("kernel", kernels.KNOWN, ids=lambda kernel: kernel.name)
def test_a_kernel_of_known_character_is_named_right(profiling, counters, kernel):
    got = profiled(profiling, kernel)
    assert (got.tool, got.reason) == (NCU, None)
    (entry,) = got.workloads
    assert entry.failure is None
    assert entry.bottleneck is not None
    assert entry.bottleneck.bottleneck == kernel.bottleneck, entry.model_dump_json(indent=1)
    if kernel.level is not None:
        assert entry.bottleneck.level == kernel.level
    assert entry.hints
    assert Path(entry.report_path or "").stat().st_size > 500


def test_only_the_candidates_one_call_is_profiled(profiling, counters):
    (entry,) = profiled(profiling, kernels.known("copy")).workloads
    assert [(kernel.launches, "copy_kernel" in kernel.name) for kernel in entry.kernels] == [
        (1, True)
    ]
    (entry,) = profiled(profiling, kernels.known("chain_with_gap")).workloads
    assert sum(kernel.launches for kernel in entry.kernels) == 2


def test_a_copys_figures_are_those_of_a_copy(profiling, counters):
    (copy,) = profiled(profiling, kernels.known("copy")).workloads[0].kernels
    assert copy.grid[0] % 8 == 0
    assert copy.block == [256, 1, 1]
    assert copy.registers
    assert copy.dram_percent is not None
    assert copy.dram_percent > 60
    assert copy.dram_bytes == pytest.approx(2 * 4 * kernels.COPY_N, rel=0.2)
    assert copy.sm_active_percent is not None
    assert copy.occupancy_theoretical_percent == pytest.approx(100, abs=1)
    assert copy.stalls


def test_spills_and_conflicts_have_their_own_figures(profiling, counters):
    (spill,) = profiled(profiling, kernels.known("spill")).workloads[0].kernels
    assert (spill.spill_requests or 0) > 0
    (conflict,) = profiled(profiling, kernels.known("bank_conflicts")).workloads[0].kernels
    assert conflict.bank_conflict_percent == pytest.approx(96.9, abs=3)
    assert spill.bank_conflict_percent in (None, 0)


def test_a_profile_is_kept_and_compared(profiling, counters):
    first = profiled(profiling, kernels.known("copy"))
    again = profiled(profiling, kernels.known("copy"))
    assert again.workloads[0].cached
    assert again.workloads[0].kernels == first.workloads[0].kernels
    assert compare_profiles(again, first).differences == []


def test_a_gap_on_the_host_is_launch_bound_and_a_long_copy_is_not(profiling):
    chain = traced(profiling, kernels.known("chain_with_gap"))
    assert chain.kernels == 2
    assert chain.launch_bound
    assert chain.gaps[0].duration_us > 200
    copy = traced(profiling, kernels.known("copy"))
    assert (copy.kernels, copy.launch_bound) == (1, False)
    assert copy.busy_us > 50
    assert json.loads(Path(copy.trace_path or "").read_text())["traceEvents"]


@pytest.fixture
def memcheck(profiling, folder):
    """Runs a known kernel under memcheck, as `sanitize` does."""
    program = profiling.find_tools().compute_sanitizer
    if not program.found:
        pytest.skip("compute-sanitizer is missing")

    def run(kernel):
        checked = partial(
            run_tool,
            profiling.runner,
            program.path,
            SanitizerTool.MEMCHECK,
            kernel.subject(),
            kernel.workload(folder),
            timeout_s=profiling.timeout_s,
        )
        return anyio.run(checked)

    return run


def test_the_sanitizer_names_the_line_of_an_access_out_of_bounds(memcheck):
    run = memcheck(kernels.FAULTY)
    assert run.status == "findings", run
    assert run.findings[0].kind == "out_of_bounds"
    assert run.findings[0].line == kernels.OUT_OF_BOUNDS_LINE
    assert run.findings[0].file == "kernel.py"
    assert memcheck(kernels.known("chain_with_gap")).status == "clean"


@pytest.mark.parametrize("place", kernels.OVERRUNS)
def test_four_bytes_beyond_any_tensor_are_found(memcheck, place):
    run = memcheck(kernels.overrun(kernels.OVERRUNS[place]))
    assert run.status == "findings", run
    assert {finding.kind for finding in run.findings} >= {"out_of_bounds"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("calibration") / "calibration.json"
    assert calibration.main(["--out", str(out)]) == 0
    return json.loads(out.read_text())


def test_a_calibration_reads_as_the_models_and_is_plausible(measured):
    model = Calibration.model_validate(measured["calibration"])
    assert measured["skipped"] == {}
    assert model.memory_bytes_per_s is not None
    assert model.memory_bytes_per_s.value > 1e12
    assert model.flops["bf16"].value > 1e14
    assert model.launch_us is not None
    assert 0.3 < model.launch_us.value < 10
    assert model.dependent_kernel_us is not None
    assert 0.1 < model.dependent_kernel_us.value < 10
    assert model.memory_latency_us is not None
    assert 0.2 < model.memory_latency_us.value < 3
    assert measured["device"]["name"] == torch.cuda.get_device_name()


def test_microbenchmarks_order_what_a_device_orders(measured):
    parts = parts_of(measured)
    assert set(parts) == set(Microbenchmark)
    named = {
        what: {(f.name, *f.at.values()): f.value for f in part.figures}
        for what, part in parts.items()
    }
    latency = {name: value for (name,), value in named[Microbenchmark.LATENCY].items()}
    assert 5 < latency["shared memory"] < latency["L2"] < latency["device memory"] < 3_000
    assert latency["L1"] < latency["L2"]
    barrier = named[Microbenchmark.BARRIER]
    assert 1 < barrier["barrier of a block", 128] < barrier["barrier of a block", 1024] < 1_000
    nominal = identify(measured["device"]["name"], measured["device"]["sm_count"], None)
    assert nominal is not None
    copies = {
        key: value for key, value in named[Microbenchmark.COPY].items() if int(key[1]) >= 1 << 28
    }
    assert max(copies.values()) * 1e12 < 1.02 * nominal.memory_bytes_per_s.value
    rates = {key[0]: 0.0 for key in named[Microbenchmark.TENSOR]}
    for key, value in named[Microbenchmark.TENSOR].items():
        if "fp8" not in key:
            rates[key[0]] = max(rates[key[0]], value)
    assert rates["mma.sync"] * 1e12 < 1.05 * nominal.flops["bf16"].value
    if torch.cuda.get_device_capability() == (9, 0):
        assert 0.6 < rates["wgmma"] * 1e12 / nominal.flops["bf16"].value < 1.1
        assert barrier["barrier of a cluster", 128, 2] > barrier["barrier of a block", 128]
