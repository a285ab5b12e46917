"""What a machine has, told from drivers and files that a test puts there."""

import sys
from types import SimpleNamespace

import pytest

from kernel_harness.tools.devices import environment
from kernel_harness.tools.devices.environment import (
    chosen_device,
    environment_report,
    nvidia_devices,
    torch_has_cuda,
)
from kernel_harness.tools.schema.evaluation import Executor, Isolation
from kernel_harness.tools.settings import Settings


@pytest.fixture(autouse=True)
def asked_anew():
    """Answers are kept for a process's life; a test has several machines."""
    yield
    nvidia_devices.cache_clear()
    torch_has_cuda.cache_clear()


@pytest.fixture
def machine(monkeypatch):
    """Makes a machine with GPUs of some names, a driver that may fail, and a build of torch."""

    def made(*names: str, torch_for_cuda: bool = True, refuses: bool = False) -> None:
        def start() -> None:
            if refuses:
                raise RuntimeError("Driver/library version mismatch")

        driver = SimpleNamespace(
            nvmlInit=start,
            nvmlShutdown=lambda: None,
            nvmlSystemGetDriverVersion=lambda: "580.1",
            nvmlDeviceGetCount=lambda: len(names),
            nvmlDeviceGetHandleByIndex=lambda index: index,
            nvmlDeviceGetCudaComputeCapability=lambda index: (10, 0),
            nvmlDeviceGetName=lambda index: names[index],
            nvmlDeviceGetMemoryInfo=lambda index: SimpleNamespace(total=183 << 30),
            nvmlDeviceGetUUID=lambda index: f"GPU-{index}",
        )
        monkeypatch.setitem(sys.modules, "pynvml", driver)
        nvidia_devices.cache_clear()
        monkeypatch.setattr(environment, "torch_has_cuda", lambda: torch_for_cuda)

    return made


def test_the_first_gpu_is_chosen_unless_the_settings_name_another(machine, tmp_path):
    machine("NVIDIA B200", "NVIDIA B200")
    settings = Settings(data_dir=tmp_path)
    assert chosen_device(settings) == "cuda:0"
    for named in ("cpu", "cuda:1"):
        assert chosen_device(settings.model_copy(update={"device": named})) == named
    report = environment_report(settings, None, [])
    assert [device.name for device in report.devices] == ["NVIDIA B200"] * 2
    assert report.executor is Executor.CUDA and report.devices[0].compute_capability == "10.0"
    assert report.devices[1].uuid == "GPU-1" and not report.wanted_with_a_gpu()


def test_a_gpu_that_torch_cannot_use_is_named_with_its_remedy(machine, tmp_path):
    machine("NVIDIA H200", torch_for_cuda=False)
    report = environment_report(Settings(data_dir=tmp_path), None, [])
    assert report.device == "cpu" and report.executor is Executor.INTERPRETER
    assert any("reinstall torch for CUDA" in note for note in report.notes)


def test_a_driver_that_fails_is_no_gpu(machine, tmp_path):
    machine("NVIDIA H200", refuses=True)
    assert nvidia_devices() == ()
    report = environment_report(Settings(data_dir=tmp_path), None, [])
    assert report.device == "cpu" and report.devices[0].executor is Executor.INTERPRETER
    assert any("latencies are null" in note for note in report.notes)


def test_every_missing_tool_says_what_it_costs_and_what_mends_it(monkeypatch, tmp_path):
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    monkeypatch.setattr(environment.Path, "glob", lambda self, pattern: iter(()))
    missing = [tool for tool in environment.toolchain() if not tool.found]
    assert {"nvcc", "ncu", "compute-sanitizer"} <= {tool.name for tool in missing}
    assert all(tool.costs and tool.remedy for tool in missing)


def test_what_isolates_candidates_is_told_once_a_judge_has_tried(tmp_path):
    settings = Settings(data_dir=tmp_path)
    assert "first evaluation" in environment_report(settings, None, []).isolation_note
    tried = Isolation(level="weaker", granted=["uid"], missing=["landlock"])
    report = environment_report(settings, tried, ["w.jsonl:3: axes: missing"])
    assert report.isolation == tried and "judge" in report.isolation_note


def test_whether_torch_is_for_cuda_is_read_without_importing_it(tmp_path, monkeypatch):
    (tmp_path / "version.py").write_text("__version__ = '2.13'\ncuda: Optional[str] = '13.0'\n")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: spec)
    torch_has_cuda.cache_clear()
    assert torch_has_cuda()
    (tmp_path / "version.py").write_text("cuda: Optional[str] = None\n")
    torch_has_cuda.cache_clear()
    assert not torch_has_cuda()
