"""The family `clock` without a device: its headers, its files, and what counts as refused."""

from __future__ import annotations

import ast
import importlib
import shutil
import subprocess

import pytest

from kernel_harness.tools.schema.evaluation import Evaluation, Status, WorkloadResult
from kernel_harness.tools.schema.measurement import Measurement, TimeSource
from tests.folding import for_each

from .cheats import Cheat, every_cheat
from .claims import exists
from .expectations import OUTCOMES, clock_outcome, clock_plan

FAMILY = {cheat.name: cheat for cheat in every_cheat() if cheat.family == "clock"}
HONEST = [cheat for cheat in FAMILY.values() if cheat.is_honest]
CLAIMED = [cheat for cheat in HONEST if not cheat.expect["sealed"]]
TWINS = [cheat for cheat in HONEST if cheat.expect["sealed"]]
ATTACKS = [cheat for cheat in FAMILY.values() if not cheat.is_honest]
CUDA = [c for c in HONEST if c.expect.get("language") == "cuda" and "binding" not in c.expect]
NVCC = shutil.which("nvcc")
TORCH = """
#include <cuda_runtime.h>
namespace torch {
struct Tensor {
    template <class T> T* data_ptr() const { return nullptr; }
    int size(int) const { return 1; }
};
}
struct Binding { template <class F> void def(const char*, F) {} };
#define PYBIND11_MODULE(name, m) void bind(Binding& m)
"""
STREAM = "namespace c10::cuda { inline cudaStream_t getCurrentCUDAStream() { return 0; } }\n"
FIELDS = {"needs", "parts", "style", "plan", "gone", "told", "gain", "twin", "refused"}


def test_there_are_enough_attacks_and_honest_twins():
    assert len(ATTACKS) >= 25 and len(TWINS) >= 12


@for_each("cheat", ATTACKS, ids=lambda cheat: cheat.name)
def test_an_attack_says_what_it_would_gain_and_how_it_is_refused(cheat: Cheat):
    expect = cheat.expect
    assert cheat.description.endswith(".")
    assert set(expect) <= FIELDS and expect["gain"] and expect["needs"] == "cuda"
    assert set(expect["refused"]) <= {*Status, *OUTCOMES} - {"PASSED", "gain"}
    twin = FAMILY[expect["twin"]]
    assert twin in TWINS and "or_claimed" not in twin.expect
    assert twin.expect.get("style") == expect.get("style")


@for_each("cheat", HONEST, ids=lambda cheat: cheat.name)
def test_an_honest_call_says_whether_it_is_sealed_or_why_not(cheat: Cheat):
    least = {"PASSED"} if cheat in TWINS else {"PASSED", "PARTIAL"}
    assert cheat.expect["status"] in least and cheat.description.endswith(".")
    assert cheat.name.startswith("clock/honest_" if cheat in TWINS else "clock/claimed_")
    assert bool(cheat.expect.get("reason")) is (cheat in CLAIMED)


@for_each("cheat", FAMILY.values(), ids=lambda cheat: cheat.name)
def test_a_file_hands_in_all_that_it_imports(cheat: Cheat):
    given = {name.removesuffix(".py") for name in cheat.sources}
    for text in (text for name, text in cheat.sources.items() if name.endswith(".py")):
        found = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom))
        wanted = {n.module for n in found if n.level == 1}
        assert wanted <= given


@for_each("cheat", FAMILY.values(), ids=lambda cheat: cheat.name)
def test_nothing_happens_before_the_first_call(cheat: Cheat):
    """Attacks are mounted by a call, so that a file can be imported without a device."""
    module = importlib.import_module(f"..{cheat.name.replace('/', '.')}", f"{__package__}.x")
    assert callable(getattr(module, "run", None)) or cheat.expect["language"] == "cuda"


@pytest.mark.long
@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
@pytest.mark.parametrize("cheat", CUDA, ids=lambda cheat: cheat.name)
def test_cuda_sources_compile(cheat: Cheat, tmp_path):
    """A compiler and no device: what torch brings is a stub of a few lines."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "c10" / "cuda").mkdir(parents=True)
    (tmp_path / "torch" / "extension.h").write_text(TORCH)
    (tmp_path / "c10" / "cuda" / "CUDAStream.h").write_text(STREAM)
    source, made = tmp_path / "kernel.cu", tmp_path / "kernel.o"
    source.write_text(cheat.sources["kernel.cu"])
    command = ["nvcc", "-arch=sm_90a", f"-I{tmp_path}", "-c", "-o", str(made), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_an_attack_is_timed_beside_its_twin():
    cheat = FAMILY["clock/replaced_bytecode"]
    plan = clock_plan(cheat, FAMILY[cheat.expect["twin"]])
    assert plan.baseline is not None and plan.checks.timed
    assert {s["path"] for s in plan.solution["sources"]} == {"kernel.py", "_rows.py", "_inside.py"}


# --- what is sealed, and what is only claimed ---------------------------------------------------

RECORDING = "tests/tools/candidate/recording"
SEALED_ROWS: dict[str, str] = {
    "launches on the default stream": f"{RECORDING}/test_default_stream.py::"
    "test_a_launch_on_the_default_stream_is_enqueued_on_the_captured_one",
    "several streams that join": "clock/honest_two_streams",
    "cooperative launches": "clock/honest_cooperative",
    "cluster launches": "clock/honest_cluster",
    "clusters that are compiled in": "clock/honest_compiled_cluster",
    "tensor maps as parameters": "clock/honest_tensor_map",
    "tensor maps of Triton as parameters": "clock/honest_triton_tensor_map",
    "tensor maps in memory": "clock/honest_tensor_map_in_memory",
    "tensor maps made on the device": "clock/honest_device_tensor_map",
    "memory of cudaMalloc": "clock/honest_cuda_malloc",
    "memory of cudaMallocAsync": "clock/honest_malloc_async",
    "memory that an earlier call filled": "clock/honest_kept_content",
    "printf on the device": "clock/honest_device_printf",
    "function pointers in memory": "clock/honest_function_pointer",
    "dependent launches inside the plan": "clock/honest_dependent_launch",
    "launches through the driver": "clock/honest_driver",
    "memory of the library's workspaces": "clock/honest_workspace",
    "copies to variables of modules": "clock/honest_torch_binding",
    "library kernels": "clock/honest_library",
    "kernels of torch": "clock/honest_torch",
    "memsets": "clock/honest_memset_and_atomics",
    "autotuned kernels": "clock/honest_autotuned",
    "small copies from the host": f"{RECORDING}/test_plan_builder.py::"
    "test_a_small_copy_from_pageable_memory_carries_its_bytes_and_no_address",
}
"""Kinds of calls whose times are sealed: a candidate of the family, or a test of the recorder."""
SEALED_TIMING = "tests/tools/judge/timing/test_sealed_timing.py"
CLAIMED_ROWS: dict[str, str] = {
    "host synchronisation inside a call": "clock/cannot_be_recorded",
    "every wait for the device": f"{RECORDING}/test_default_stream.py::"
    "test_a_wait_for_the_device_is_why_the_call_cannot_be_replayed",
    "host nodes, conditional nodes, graphs inside": f"{RECORDING}/test_plan_builder.py::"
    "test_what_is_no_launch_copy_or_memset_is_refused_in_words",
    "managed or mapped host memory, arrays": f"{RECORDING}/test_plan_builder.py::"
    "test_memory_of_the_host_or_of_both_is_refused_by_its_kind",
    "memory that no other process has": f"{RECORDING}/test_plan_builder.py::"
    "test_a_pointer_that_only_this_process_has_is_refused_by_name",
    "dynamic parallelism": "clock/claimed_dynamic_parallelism",
    "device graph launch": "clock/claimed_device_graph_launch",
    "device malloc": "clock/claimed_device_malloc",
    "textures": "clock/claimed_texture",
    "surfaces": "clock/claimed_surface",
    "managed memory": "clock/claimed_managed_memory",
    "mapped host memory": "clock/claimed_mapped_memory",
    "host nodes": "clock/claimed_host_function",
    "conditional nodes": "clock/claimed_conditional_node",
    "torch's random state": "clock/claimed_random_state",
    "a seed that the host counts": "clock/claimed_seed_as_a_number",
    "device malloc, and local memory that is not overwritten": "tests/tools/runner/test_serve.py::"
    "test_a_plan_whose_kernels_call_malloc_says_what_they_can_keep",
    "a replay that differs": f"{SEALED_TIMING}::"
    "test_what_cannot_be_sealed_is_claimed_with_the_reason_and_never_blamed",
    "a replay that differs on a held-out size": "tests/tools/judge/timing/test_held_out_timing.py::"
    "test_times_beside_a_wrong_replay_of_another_size_are_claimed",
}
"""Kinds of calls whose times are only claimed, and what tries each."""


@for_each("row", SEALED_ROWS)
def test_what_is_to_be_sealed_is_tried(row):
    tried = SEALED_ROWS[row]
    assert exists(tried) if "::" in tried else FAMILY[tried].expect["sealed"]


@for_each("row", CLAIMED_ROWS)
def test_what_is_only_claimed_is_tried(row):
    tried = CLAIMED_ROWS[row]
    found = None if "::" in tried else FAMILY[tried]
    if found is None:
        assert exists(tried)
    else:
        assert found in CLAIMED or "claimed" in found.expect["refused"]


# --- outcomes ---------------------------------------------------------------------------------

ATTACK = Cheat("clock/x", "", "")
WARM = Cheat("clock/x", "", "", {"told": "warm_ns"})


def measured(cold: int, warm: int, clock: str) -> Measurement:
    return Measurement(
        timer="cupti", cold_ns=[cold] * 8, warm_ns=[warm] * 3, clock=TimeSource(clock)
    )


def record_of(
    ours: Measurement | None, theirs: Measurement | None, status: Status = Status.PASSED
) -> Evaluation:
    """As much of a record as an outcome is told from."""
    workload = WorkloadResult.model_construct(measurement=ours, baseline_measurement=theirs)
    return Evaluation.model_construct(status=status, workloads=[workload])


@pytest.mark.parametrize(
    ("ours", "expected"),
    [(98, "gain"), (99, "no gain"), (200, "no gain")],
)
def test_a_time_two_per_cent_below_the_twins_is_a_gain(ours, expected):
    record = record_of(measured(ours, 10, "sealed"), measured(100, 10, "sealed"))
    assert clock_outcome(ATTACK, record)[0] == expected


def test_only_what_an_attack_would_make_shorter_counts():
    record = record_of(measured(100, 5, "sealed"), measured(100, 10, "sealed"))
    assert clock_outcome(ATTACK, record) == ("no gain", pytest.approx(1.0))
    assert clock_outcome(WARM, record) == ("gain", pytest.approx(2.0))


def test_a_claimed_time_is_no_gain_however_short():
    record = record_of(measured(1, 1, "claimed"), measured(100, 10, "claimed"))
    assert clock_outcome(ATTACK, record)[0] == "claimed"


def test_without_a_time_there_is_no_gain():
    assert clock_outcome(ATTACK, record_of(None, None)) == ("untimed", None)


def test_a_failure_is_told_by_its_status():
    record = record_of(None, None, Status.INTEGRITY_VIOLATION)
    assert clock_outcome(ATTACK, record) == ("INTEGRITY_VIOLATION", None)
