"""A folder of locks and tickets of its own, and GPUs that a test says are here."""

from types import SimpleNamespace

import pytest

from kernel_harness.tools.devices import gpus
from kernel_harness.tools.distributed import device_queue


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setattr("kernel_harness.tools.distributed.device_lock.MACHINE", tmp_path)
    monkeypatch.setattr(device_queue, "POLL_S", 0.005)
    return tmp_path


@pytest.fixture
def shown(monkeypatch):
    """Says which GPUs CUDA shows to this process."""

    def show(*uuids: str | None) -> None:
        devices = tuple(SimpleNamespace(uuid=uuid, name="NVIDIA H200") for uuid in uuids)
        monkeypatch.setattr(gpus, "nvidia_devices", lambda: devices)

    return show
