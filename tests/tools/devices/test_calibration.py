"""Figures measured on this machine's device replace the shipped ones of that device only."""

from __future__ import annotations

import json

import pytest

from kernel_harness.tools.devices.calibration import with_calibration
from kernel_harness.tools.devices.hardware import shipped_hardware


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
