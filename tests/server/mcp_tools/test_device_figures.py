"""What is known of devices, through a client."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.devices.measurements import DeviceFigure, MeasuredPart, Microbenchmark
from kernel_harness.tools.profiling.device_figures import DeviceFigures, FiguresService

from ..calls import good, refused

pytestmark = pytest.mark.anyio


def figure(name: str, value: float, unit: str, **at: int | str) -> DeviceFigure:
    return DeviceFigure(name=name, at=at, value=value, unit=unit)


MEASURED = {
    Microbenchmark.COPY: [
        figure(name, value, "TB/s", bytes=size << 20)
        for size, value in ((1, 0.5), (1024, 4.25))
        for name in ("torch's copy_", "bulk copies (cp.async.bulk)")
    ],
    Microbenchmark.BARRIER: [figure("barrier of a cluster", 190.2, "ns", threads=128, blocks=4)],
}


async def test_without_a_gpu_known_figures_come_with_their_sources(connect: Any) -> None:
    async with connect() as client:
        found = await good(client, "measure_device", what="latency", gpu="b200")
        shipped = await good(client, "measure_device", what="barrier", gpu="h200")
        none = await refused(client, "measure_device", what=["speed"])
    assert found["devices"] == [
        {"device": "B200", "unmeasured": {"latency": "there is no GPU here to measure"}}
    ]
    assert "memory, TB/s" in found["summary"] and "fitted from public data" in found["summary"]
    assert "another machine's device" in shipped["summary"]
    assert "barrier of a cluster  128 threads, 8 blocks" in shipped["summary"]
    assert "'copy'" in none


async def test_copies_are_a_table_by_size_and_others_say_their_conditions(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    async def figures(self: Any, progress: Any, **given: Any) -> list[DeviceFigures]:
        asked.update(given)
        parts = {
            what: MeasuredPart(measured_at="2026-11-30T08:00:00", seconds=1.0, figures=found)
            for what, found in MEASURED.items()
        }
        return [DeviceFigures("H200", measured_now=[Microbenchmark.COPY], parts=parts)]

    monkeypatch.setattr(FiguresService, "figures", figures)
    async with connect() as client:
        found = await good(client, "measure_device")
    rows = {line.split("  ")[0]: line.split() for line in found["summary"].splitlines()}
    assert rows["bulk copies (cp.async.bulk)"][-2:] == ["0.5", "4.25"]
    assert "128 threads, 4 blocks" in found["summary"] and "190 ns" in found["summary"]
    assert found["devices"][0]["measured_now"] == ["copy"]
    assert asked == {"what": [], "gpu": None}


def test_the_command_takes_several_names(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    given = ["measure", "latency", "barrier", "--gpu", "B200", "--data-dir", str(tmp_path)]
    assert cli.run([*given, "--device", "cpu"]) == 0
    assert "Not measured: latency, barrier:" in capsys.readouterr().out
