"""What a machine has, told from drivers and files that a test puts there."""

import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernel_harness.tools.devices import environment, gpus
from kernel_harness.tools.devices.environment import (
    Places,
    counters_are_restricted,
    environment_report,
    find_tools,
)
from kernel_harness.tools.devices.gpus import (
    alike,
    chosen_devices,
    devices_here,
    devices_text,
    nvidia_devices,
    seen_alone,
    torch_has_cuda,
)
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import DeviceInfo, Executor, Isolation
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

        class NoDeviceError(Exception):
            """What NVML raises."""

        def slice_of(uuid: str) -> str:
            if uuid != "MIG-0a":
                raise NoDeviceError(uuid)
            return uuid

        def name_of(handle: int | str) -> str:
            return names[handle] if isinstance(handle, int) else "a slice"

        driver = SimpleNamespace(
            NVMLError=NoDeviceError,
            nvmlInit=start,
            nvmlDeviceGetHandleByUUID=slice_of,
            nvmlShutdown=lambda: None,
            nvmlSystemGetDriverVersion=lambda: "580.1",
            nvmlDeviceGetCount=lambda: len(names),
            nvmlDeviceGetHandleByIndex=lambda index: index,
            nvmlDeviceGetCudaComputeCapability=lambda index: (10, 0),
            nvmlDeviceGetName=name_of,
            nvmlDeviceGetMemoryInfo=lambda index: SimpleNamespace(total=183 << 30),
            nvmlDeviceGetUUID=lambda at: f"GPU-{at}" if isinstance(at, int) else at,
        )
        monkeypatch.setitem(sys.modules, "pynvml", driver)
        nvidia_devices.cache_clear()
        for module in (gpus, environment):
            monkeypatch.setattr(module, "torch_has_cuda", lambda: torch_for_cuda)

    return made


def test_every_gpu_is_chosen_unless_the_settings_name_one(machine, tmp_path):
    machine("NVIDIA B200", "NVIDIA B200")
    settings = Settings(data_dir=tmp_path)
    assert chosen_devices(settings) == ("cuda:0", "cuda:1")
    for named in ("cpu", "cuda:1"):
        assert chosen(tmp_path, named) == (named,)
    report = environment_report(settings, None, [])
    assert [device.name for device in report.devices] == ["NVIDIA B200"] * 2
    assert report.executor is Executor.CUDA and report.devices[0].compute_capability == "10.0"
    assert report.devices[1].uuid == "GPU-1" and not report.needed_with_a_gpu()


def chosen(tmp_path, device):
    return chosen_devices(Settings(data_dir=tmp_path, device=device))


def test_every_gpu_of_the_most_frequent_model_is_used_and_others_when_they_are_named(
    machine, tmp_path
):
    machine("NVIDIA A100-SXM4-80GB", "NVIDIA H200", "NVIDIA H200", "NVIDIA H200 NVL")
    assert chosen(tmp_path, "auto") == ("cuda:1", "cuda:2")
    assert chosen(tmp_path, "H200") == ("cuda:1", "cuda:2")
    assert chosen(tmp_path, "a100") == ("cuda:0",)
    assert chosen(tmp_path, "h200 nvl") == ("cuda:3",)
    assert chosen(tmp_path, "cuda:2,1") == ("cuda:2", "cuda:1")
    assert chosen(tmp_path, "cuda:7") == ("cuda:7",)  # what is asked of it will say so
    assert devices_text(("cuda:0", "cuda:2")) == "cuda:0,2" and devices_text(("cpu",)) == "cpu"


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("B200", "'b200' is no GPU that can be used"),
        ("cuda:0,1", "several models: NVIDIA A100, NVIDIA H200 NVL"),
        ("h200", "'h200' fits several models"),
    ],
)
def test_models_are_not_mixed_and_one_that_is_not_here_is_refused(machine, tmp_path, device, words):
    machine("NVIDIA A100", "NVIDIA H200 NVL", "NVIDIA H200 MIG 1g.18gb")
    with pytest.raises(RequestError, match=words):
        chosen(tmp_path, device)


def test_a_process_sees_its_gpu_alone_where_there_are_several(machine):
    machine("NVIDIA H200", "NVIDIA H200")
    assert seen_alone("cuda:1") == ("cuda:0", {"CUDA_VISIBLE_DEVICES": "GPU-1"})
    assert seen_alone("cuda:2") == ("cuda:2", {})  # its judge says that it is not there
    machine("NVIDIA H200")
    assert seen_alone("cuda:0") == ("cuda:0", {}) and seen_alone("cpu") == ("cpu", {})


def test_a_record_says_which_gpu_it_is_of_and_whether_it_is_alike(machine):
    machine("NVIDIA H200", "NVIDIA H200")
    own = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, uuid="1")  # as torch writes it
    assert devices_here(own) == ("cuda:1",) and devices_here(None) == ()
    assert alike(own, ["cuda:0"], itself=False) and not alike(own, ["cuda:0"], itself=True)
    assert alike(own, ["cuda:0", "cuda:1"], itself=True)
    other = DeviceInfo(name="NVIDIA B200", executor=Executor.CUDA, uuid="9")
    assert devices_here(other) == () and not alike(other, ["cuda:0"], itself=False)
    assert alike(other, ["cpu"], itself=True)


def test_a_device_that_is_not_here_is_said_to_be_lacking(machine, tmp_path):
    machine("NVIDIA H200", "NVIDIA H200")
    for device, lacks in (("cuda:0,1", False), ("cuda:1,2", True), ("cpu", False)):
        settings = Settings(data_dir=tmp_path, device=device)
        assert environment_report(settings, None, []).lacks_its_device is lacks


@pytest.mark.parametrize(("device", "shown"), [("auto", "cluster"), ("cpu", "cpu")])
def test_a_clusters_devices_are_not_those_here(machine, tmp_path, device, shown):
    machine("NVIDIA H200")
    settings = Settings(data_dir=tmp_path, device=device, cluster="ray://127.0.0.1:1")
    report = environment_report(settings, None, [])
    assert report.device == shown and not report.lacks_its_device
    assert any("cluster status" in note for note in report.notes)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (None, ["GPU-0", "GPU-1", "GPU-2"]),
        ("2,0", ["GPU-2", "GPU-0"]),
        ("GPU-1", ["GPU-1"]),
        (" 1 , GPU-0", ["GPU-1", "GPU-0"]),
        ("1,7,0", ["GPU-1"]),
        ("1,-1,0", ["GPU-1"]),
        ("MIG-0a", ["MIG-0a"]),
        ("MIG-gone,0", []),
        ("", []),
    ],
)
def test_gpus_are_those_that_cuda_shows_in_its_numbering(machine, monkeypatch, said, shown):
    machine("NVIDIA H200", "NVIDIA H200", "NVIDIA H200")
    if said is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    assert [device.uuid for device in nvidia_devices()] == shown


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


def test_what_isolates_candidates_is_told_once_a_judge_has_tried(tmp_path):
    settings = Settings(data_dir=tmp_path)
    assert "first evaluation" in environment_report(settings, None, []).isolation_note
    tried = Isolation(level="weaker", granted=["uid"], missing=["landlock"])
    report = environment_report(settings, tried, ["w.jsonl:3: axes: missing"])
    assert report.isolation == tried and "judge" in report.isolation_note


def test_whether_torch_is_for_cuda_is_read_without_importing_it(tmp_path, monkeypatch):
    (tmp_path / "version.py").write_text("__version__ = '2.13'\ncuda: Optional[str] = '13.0'\n")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(gpus.importlib.util, "find_spec", lambda name: spec)
    torch_has_cuda.cache_clear()
    assert torch_has_cuda()
    (tmp_path / "version.py").write_text("cuda: Optional[str] = None\n")
    torch_has_cuda.cache_clear()
    assert not torch_has_cuda()


NCU_SAYS = (
    "NVIDIA (R) Nsight Compute Command Line Profiler\n"
    "Copyright (c) 2018-2025 NVIDIA Corporation\n"
    "Version 2025.3.0.0 (build 36273991) (public-release)\n"
)


def places(
    tmp_path: Path,
    *,
    present: tuple[str, ...] = ("ncu", "compute-sanitizer", "nvcc"),
    says: str = NCU_SAYS,
    admin_only: bool = False,
    administrator: bool = False,
) -> Places:
    parameters, status = tmp_path / "params", tmp_path / "status"
    parameters.write_text(f"EnableMSI: 1\nRmProfilingAdminOnly: {int(admin_only)}\n")
    status.write_text(f"Name: x\nCapEff:\t{(1 << 21) * administrator:016x}\n")
    return Places(
        which=lambda name: str(tmp_path / "bin" / name) if name in present else None,
        run=lambda command: says,
        driver_parameters=parameters,
        process_status=status,
        installs=(),
    )


def test_a_complete_machine_has_every_tool_with_its_version(tmp_path):
    got = find_tools(places(tmp_path))
    assert got.ncu.version == "2025.3.0.0"
    assert got.counters.found
    assert got.compute_sanitizer.found


def test_every_missing_tool_has_a_reason_a_cost_and_a_remedy(tmp_path):
    got = find_tools(places(tmp_path, present=()))
    missing = (got.nvcc, got.ncu, got.counters, got.compute_sanitizer)
    assert not any(tool.found for tool in missing)
    assert all(tool.reason and tool.costs and tool.remedy for tool in missing)
    assert got.counters not in got.listed and got.ncu in got.listed


def test_counters_for_administrators_only_are_missing_with_the_way_to_get_them(tmp_path):
    got = find_tools(places(tmp_path, admin_only=True))
    assert not got.counters.found
    assert got.counters in got.listed
    assert "ERR_NVGPUCTRPERM" in (got.counters.reason or "")
    assert "NVreg_RestrictProfilingToAdminUsers=0" in (got.counters.remedy or "")


def test_an_administrator_may_expect_counters(tmp_path):
    got = find_tools(places(tmp_path, admin_only=True, administrator=True))
    assert got.counters.found
    assert got.admin_only


def test_a_program_that_cannot_say_its_version_is_not_trusted_to_run(tmp_path):
    got = find_tools(places(tmp_path, says="error while loading shared libraries"))
    assert not got.ncu.found
    assert "may not run" in (got.ncu.reason or "")


@pytest.mark.parametrize(
    ("text", "restricted"),
    [("RmProfilingAdminOnly: 1", True), ("RmProfilingAdminOnly: 0", False), ("", False)],
)
def test_the_drivers_statement_about_counters_is_read(text, restricted):
    assert counters_are_restricted(text) is restricted


def test_a_program_outside_the_path_is_found_in_the_toolkits_folder(tmp_path):
    program = tmp_path / "cuda" / "bin" / "ncu"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    base = places(tmp_path, present=())
    got = find_tools(
        Places(
            which=base.which,
            run=base.run,
            driver_parameters=base.driver_parameters,
            process_status=base.process_status,
            installs=(str(tmp_path / "cuda" / "bin"),),
        )
    )
    assert got.ncu.path == str(program)


def test_packages_are_to_be_installed_by_the_pip_of_the_interpreter_that_runs(tmp_path):
    got = find_tools(places(tmp_path, present=()))
    by_pip = [tool.remedy or "" for tool in (got.cupti, got.triton, got.tvm_ffi) if not tool.found]
    assert by_pip
    for remedy in by_pip:
        words = shlex.split(remedy)
        assert Path(words[0]) == Path(sys.executable) and words[1:4] == ["-m", "pip", "install"]


@pytest.mark.parametrize(
    ("has_pip", "command"),
    [
        (True, f"{sys.executable} -m pip install "),
        (False, f"uv pip install --python {sys.executable} "),
    ],
)
def test_a_package_is_installed_for_the_interpreter_that_lacks_it(monkeypatch, has_pip, command):
    """What uv makes has no pip of its own: the command failed."""
    specs = {"pip": "found"} if has_pip else {}
    monkeypatch.setattr("importlib.util.find_spec", specs.get)
    remedies = [tool.remedy for tool in find_tools(Places(which=lambda name: None)).listed]
    by_pip = [remedy for remedy in remedies if remedy and "pip install" in remedy]
    assert by_pip and all(remedy.startswith(command) for remedy in by_pip)
