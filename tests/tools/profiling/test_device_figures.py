"""What is known of a device: kept, measured where it is here, and cited where it is not."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.devices.calibration import calibration_file
from kernel_harness.tools.devices.measurements import Microbenchmark
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.profiling import device_figures
from kernel_harness.tools.profiling.device_figures import FiguresService
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.settings import Settings

pytestmark = pytest.mark.anyio
VERSION = importlib.metadata.version("kernel-harness")


def document(*parts: str, driver: str = "580.1") -> dict[str, Any]:
    part = {
        "measured_at": "2026-11-30T08:00:00+00:00",
        "seconds": 1.0,
        "figures": [{"name": "one empty kernel", "value": 1.4, "unit": "µs"}],
    }
    return {
        "device": {"name": "NVIDIA H200", "sm_count": 132, "driver": driver},
        "harness": VERSION,
        "calibration": {"launch_us": {"value": 1.4, "source": "measured"}},
        "measured": dict.fromkeys(parts, part),
        "notes": ["memory reached 60 % of the data sheet's rate."],
    }


class ScriptedProfiling:
    """Writes a calibration where one is asked for, and remembers of what."""

    def __init__(self, settings: Settings, device: str) -> None:
        self.device = device
        self._settings = settings
        self.asked: list[list[str]] = []

    async def calibrate(self, progress: Any, what: Sequence[str]) -> Path:
        self.asked.append(list(what))
        return write(self._settings, document(*what))


def write(settings: Settings, content: dict[str, Any]) -> Path:
    path = calibration_file(settings, content["device"]["name"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(data_dir=tmp_path)


def service(settings: Settings, monkeypatch, gpu: str | None) -> tuple[FiguresService, Any]:
    gpus = (SimpleNamespace(name=gpu, driver="580.1"),) if gpu else ()
    monkeypatch.setattr(device_figures, "nvidia_devices", lambda: gpus)
    profiling: Any = ScriptedProfiling(settings, "cuda:0" if gpu else "cpu")
    return FiguresService(settings, profiling), profiling


async def test_what_is_not_known_is_measured_once(settings, monkeypatch):
    made, profiling = service(settings, monkeypatch, "NVIDIA H200")
    (first,) = await made.figures(ignore_progress, what=[Microbenchmark.LAUNCH])
    (second,) = await made.figures(ignore_progress, what=[Microbenchmark.LAUNCH], gpu="H200")
    assert profiling.asked == [["launch"]]
    assert first.measured_now == [Microbenchmark.LAUNCH] and second.measured_now == []
    assert second.parts[Microbenchmark.LAUNCH].figures[0].value == 1.4
    assert (second.device, second.driver, second.harness) == ("H200", "580.1", VERSION)
    assert not second.unmeasured and second.notes


async def test_figures_of_another_driver_are_measured_anew(settings, monkeypatch):
    write(settings, document("launch", driver="570.9"))
    made, profiling = service(settings, monkeypatch, "NVIDIA H200")
    await made.figures(ignore_progress, what=[Microbenchmark.LAUNCH])
    assert profiling.asked == [["launch"]]


async def test_without_a_gpu_the_targets_are_told_with_their_sources(settings, monkeypatch):
    made, profiling = service(settings, monkeypatch, None)
    known = await made.figures(ignore_progress, what=[Microbenchmark.COPY])
    assert [one.device for one in known] == ["B200", "H200"] and profiling.asked == []
    memory = known[1].rates[0]
    assert (memory.name, memory.nominal, memory.known) == ("memory", 4.8, 4.3)
    assert "measured elsewhere" in memory.source and "data sheet" in known[1].data_sheet
    assert known[0].unmeasured == {Microbenchmark.COPY: device_figures.NO_DEVICE}
    assert known[0].parts == {} and known[0].file is None
    assert known[1].notes == [device_figures.SHIPPED] and not known[1].unmeasured
    assert known[1].driver and known[1].parts[Microbenchmark.COPY].figures


async def test_kept_figures_come_before_those_that_are_shipped(settings, monkeypatch):
    made, _ = service(settings, monkeypatch, None)
    (shipped,) = await made.figures(ignore_progress, gpu="H200")
    write(settings, document("launch"))
    (kept,) = await made.figures(ignore_progress, gpu="H200")
    assert set(shipped.parts) == set(Microbenchmark) and set(kept.parts) == {Microbenchmark.LAUNCH}


async def test_kept_figures_of_a_device_that_is_not_here_are_shown(settings, monkeypatch):
    write(settings, document("launch"))
    made, profiling = service(settings, monkeypatch, "NVIDIA A100-SXM4-80GB")
    (known,) = await made.figures(ignore_progress, gpu="h200")
    assert profiling.asked == [] and set(known.parts) == {Microbenchmark.LAUNCH}
    assert "A100" in known.unmeasured[Microbenchmark.COPY]
    launch = next(rate for rate in known.rates if rate.name == "launch")
    assert (launch.nominal, launch.known, launch.source) == (None, 1.4, "measured")


async def test_a_device_that_nobody_knows_is_refused_with_the_nearest(settings, monkeypatch):
    made, _ = service(settings, monkeypatch, None)
    with pytest.raises(RequestError, match="Nearest: H200"):
        await made.figures(ignore_progress, gpu="H20")
