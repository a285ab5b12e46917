"""An in-memory client of the server on a scripted Harness, in each era of the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from kernel_harness.server.app import build_app
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset

from .scripted import ScriptedHarness, write_dataset

MODES = ("legacy", "auto")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def kernels_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def settings(tmp_path: Path, kernels_dir: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data", kernels_dir=kernels_dir, device="cpu", warm_ahead=False
    )


@pytest.fixture
def harness(settings: Settings) -> ScriptedHarness:
    return ScriptedHarness(settings, Dataset.load(settings.kernels_dir, ()))


Connect = Callable[[], Any]


@pytest.fixture(params=MODES)
def connect(request: pytest.FixtureRequest, harness: ScriptedHarness) -> Connect:
    """Opens an in-memory client, in each era of the protocol."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Client]:
        async with Client(build_app(harness=harness), mode=request.param) as client:
            yield client

    return opened
