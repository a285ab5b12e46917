"""A device is found among NVML's, and what NVML does not tell is unknown."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.machine.nvml import driver_version, memory_clock, nvml_handle

GPU, CPU = torch.device("cuda:1"), torch.device("cpu")
UUID = "2f1c0000-aaaa-bbbb-cccc-000000000001"


@dataclass
class Nvml:
    """NVML as far as it is asked, for a machine of two GPUs that it numbers the other way."""

    known: dict[str, str] = field(default_factory=lambda: {f"GPU-{UUID}": "by uuid"})
    clock: int | None = 3_201
    NVML_CLOCK_MEM: int = 2

    class NVMLError(Exception):
        """What NVML raises."""

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        if name not in self.known:
            raise self.NVMLError("not found")
        return self.known[name]

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"by index {index}"

    def nvmlDeviceGetMaxClockInfo(self, handle: str, kind: int) -> int:
        if self.clock is None:
            raise self.NVMLError("not supported")
        assert kind == self.NVML_CLOCK_MEM
        return self.clock

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"570.00"


@pytest.mark.parametrize(
    ("uuid", "handle"),
    [
        (UUID, "by uuid"),
        (f"GPU-{UUID}", "by uuid"),
        (f"MIG-{UUID}", "by index 1"),
        ("", "by index 1"),
        ("another", "by index 1"),
    ],
)
def test_a_device_is_found_by_uuid_where_nvml_knows_it(monkeypatch, uuid, handle):
    properties = SimpleNamespace(uuid=uuid)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert nvml_handle(Nvml(), GPU) == handle


@pytest.mark.parametrize("clock", [3_201, None])
def test_a_memory_clock_that_nvml_does_not_tell_is_unknown(monkeypatch, clock):
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=UUID)
    )
    nvml: Any = Nvml(clock=clock)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert memory_clock(GPU) == clock
    assert memory_clock(CPU) is None


def test_without_nvml_the_memory_clock_is_unknown(monkeypatch):
    unimportable: Any = None
    monkeypatch.setitem(sys.modules, "pynvml", unimportable)
    assert memory_clock(GPU) is None


def test_the_drivers_version_is_text(monkeypatch):
    nvml: Any = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert driver_version() == "570.00"
