"""Figures measured on this machine's device replace the shipped ones of that device only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel_harness.tools.devices import calibration as calibrated
from kernel_harness.tools.devices.calibration import with_calibration
from kernel_harness.tools.devices.hardware import shipped_hardware
from kernel_harness.tools.errors import CapabilityError, InfrastructureError
from kernel_harness.tools.profiling import calibrated as process
from kernel_harness.tools.profiling.calibrated import calibrate
from kernel_harness.tools.profiling.runs.tool_run import ProfileRunner
from kernel_harness.tools.settings import Settings

pytestmark = pytest.mark.anyio

SCRIPT = """
import json, sys
path = sys.argv[sys.argv.index("--out") + 1]
open(path, "w").write(json.dumps({document!r}))
sys.exit({status})
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def document(name: str = "NVIDIA H200", value: float = 4.31e12) -> dict:
    rate = {"value": value, "source": "measured"}
    return {
        "device": {"name": name, "sm_count": 132, "memory_mhz": 3201},
        "calibration": {"memory_bytes_per_s": rate, "flops": {"bf16": rate}},
    }


def test_measured_figures_replace_those_of_the_same_device(tmp_path):
    (tmp_path / "h200.json").write_text(json.dumps(document()))
    before = shipped_hardware()["H200"]
    got = with_calibration(before, tmp_path)
    assert got.calibrated.memory_bytes_per_s is not None
    assert got.calibrated.memory_bytes_per_s.value == 4.31e12
    assert got.calibrated.flops["bf16"].value == 4.31e12
    assert got.calibrated.launch_us == before.calibrated.launch_us
    assert got.memory_bytes_per_s == before.memory_bytes_per_s


@pytest.mark.parametrize("text", ["", "{}", '{"device": {}}', '{"device": 3, "calibration": {}}'])
def test_a_file_that_cannot_be_read_changes_nothing(tmp_path, text):
    (tmp_path / "broken.json").write_text(text)
    before = shipped_hardware()["H200"]
    assert with_calibration(before, tmp_path) is before


def test_another_devices_file_changes_nothing(tmp_path):
    (tmp_path / "h200.json").write_text(json.dumps(document()))
    before = shipped_hardware()["B200"]
    assert with_calibration(before, tmp_path) is before
    assert with_calibration(before, tmp_path / "none") is before


async def test_a_calibration_is_kept_under_its_devices_name(tmp_path, monkeypatch):
    got = await run_scripted(tmp_path, monkeypatch, status=0)
    assert got.name == "nvidia-h200.json"
    assert with_calibration(shipped_hardware()["H200"], got.parent).calibrated.flops


async def test_a_failed_calibration_is_told_and_not_kept(tmp_path, monkeypatch):
    with pytest.raises(InfrastructureError, match="ended with 3"):
        await run_scripted(tmp_path, monkeypatch, status=3)


async def test_without_a_gpu_there_is_nothing_to_calibrate(tmp_path):
    with pytest.raises(CapabilityError):
        await calibrate(Settings(data_dir=tmp_path), "cpu", ProfileRunner("cpu"))


async def run_scripted(tmp_path: Path, monkeypatch, *, status: int) -> Path:
    package = tmp_path / "package"
    package.mkdir()
    (package / "scripted.py").write_text(SCRIPT.format(document=document(), status=status))
    monkeypatch.setattr(process, "PROCESS", "scripted")
    monkeypatch.setenv("PYTHONPATH", str(package))
    settings = Settings(data_dir=tmp_path)
    calibrated.calibration_folder(settings).mkdir(parents=True)
    return await calibrate(settings, "cuda:0", ProfileRunner("cuda:0"))
