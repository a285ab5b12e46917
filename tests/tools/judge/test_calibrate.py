"""The calibration's arithmetic and its file, without a device."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import torch

from kernel_harness.tools.devices.hardware import Calibration
from kernel_harness.tools.devices.measurements import Microbenchmark, parts_of
from kernel_harness.tools.judge import calibrate as calibration
from kernel_harness.tools.judge.calibrate import clocks, document, plausibility
from kernel_harness.tools.judge.microbenchmarks.findings import Findings

H200 = {"name": "NVIDIA H200", "sm_count": 132, "memory_mhz": 3201}


def rate(value: float) -> dict[str, object]:
    return {"value": value, "source": "measured"}


def test_the_file_reads_as_the_models_calibration_and_keeps_its_samples():
    found = Findings(samples={"copy_1_us": [1.0, 1.1]})
    found.skip(Microbenchmark.TENSOR, "fp8", "not\nsupported")
    found.add(Microbenchmark.TENSOR, "mma.sync", 612.34567, "TFLOP/s", shape="m16n8k16")
    found.seconds = {Microbenchmark.TENSOR: 1.234}
    found.rates = {"memory_bytes_per_s": rate(4.3e12), "launch_us": rate(2.1)}
    found.flops = {"bf16": rate(780e12)}
    got = document(found, H200, {}, {}, 12.3)
    model = Calibration.model_validate(got["calibration"])
    assert model.memory_bytes_per_s is not None
    assert model.memory_bytes_per_s.value == 4.3e12
    assert model.flops["bf16"].value == 780e12
    assert got["samples"] == {"copy_1_us": [1.0, 1.1]}
    assert got["skipped"] == {"fp8": "not supported"}
    assert got["notes"] == []
    part = parts_of(got)[Microbenchmark.TENSOR]
    assert part.seconds == 1.23 and part.skipped == {"fp8": "not supported"}
    (figure,) = part.figures
    assert (figure.value, figure.at) == (612.3, {"shape": "m16n8k16"})


def test_what_is_not_asked_for_is_not_measured_and_a_failure_ends_nothing(monkeypatch):
    made: list[str] = []

    def fails(watch: Any, device: Any, found: Findings) -> None:
        raise RuntimeError("no such instruction")

    def succeeds(watch: Any, device: Any, found: Findings) -> None:
        made.append("launch")
        found.add(Microbenchmark.LAUNCH, "one empty kernel", 1.2, "µs")

    benchmarks = (
        (Microbenchmark.COPY, fails),
        (Microbenchmark.LATENCY, succeeds),
        (Microbenchmark.LAUNCH, succeeds),
    )
    monkeypatch.setattr(calibration, "MEASURES", benchmarks)
    monkeypatch.setattr(calibration, "Stopwatch", lambda device: None)
    monkeypatch.setattr(calibration, "device_facts", lambda device: H200)
    monkeypatch.setattr(calibration, "clocks", lambda device: {})
    asked = [Microbenchmark.COPY, Microbenchmark.LAUNCH]
    got = parts_of(calibration.calibrate(torch.device("cpu"), what=asked))
    assert set(got) == set(asked) and made == ["launch"]
    assert got[Microbenchmark.COPY].skipped == {"fails": "no such instruction"}
    late = calibration.calibrate(torch.device("cpu"), budget_s=-1.0, what=asked)
    assert "used up" in late["skipped"]["launch"] and made == ["launch"]


def test_a_rate_that_no_such_device_has_is_noted():
    halved = Calibration.model_validate(
        {"memory_bytes_per_s": rate(1.5e12), "flops": {"bf16": rate(1.2e15)}}
    )
    notes = " ".join(plausibility(halved, H200))
    assert "memory reached 31 %" in notes
    assert "bf16 reached 121 %" in notes


def test_a_device_that_is_not_in_the_table_is_noted():
    (note,) = plausibility(Calibration(), {"name": "Unheard-of", "sm_count": 7})
    assert "not in the table" in note


def test_without_a_device_it_says_so_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(calibration.torch.cuda, "is_available", lambda: False)
    out = tmp_path / "calibration.json"
    assert calibration.main(["--out", str(out)]) == 1
    assert not out.exists()
    assert "no CUDA device" in capsys.readouterr().err


class NumberedTheOtherWay:
    """NVML where the device at CUDA's index 0 is known by its UUID alone."""

    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        """What NVML raises."""

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        return name

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:
        return {"GPU-b": 1_980}[handle]

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return {"GPU-b": 120_000}[handle]

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        return {"GPU-b": 41}[handle]


def test_clocks_are_those_of_the_device_that_is_calibrated(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="b")
    )
    nvml: Any = NumberedTheOtherWay()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert clocks(torch.device("cuda:0")) == {
        "sm_mhz": 1_980,
        "power_w": 120.0,
        "temperature_c": 41,
    }
