"""A real Harness whose device is scripted."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset
from tests.server.scripted import ScriptedHarness, write_dataset

from .scripted_device import on_device
from .unattended import ship_start


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def kernels_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_dataset(tmp_path_factory.mktemp("kernels"))
    ship_start(folder)
    return folder


@pytest.fixture
def settings(tmp_path: Path, kernels_dir: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data", kernels_dir=kernels_dir, device="cpu", warm_ahead=False
    )


@pytest.fixture
def harness(settings: Settings) -> ScriptedHarness:
    """Without a GPU: nothing is timed."""
    return ScriptedHarness(settings, Dataset.load(settings.kernels_dir, ()))


@pytest.fixture
def device(harness: ScriptedHarness) -> ScriptedHarness:
    """With a device whose times follow from a program's text."""
    return on_device(harness)
