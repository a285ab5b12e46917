"""An in-memory client of the server on a scripted Harness, in each era of the protocol."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import Client
from mcp.server.mcpserver.tools import Tool

from kernel_harness.server.app import build_app
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset

from .scripted import ScriptedHarness, write_dataset

MODES = ("legacy", "auto")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def schemas_checked_once() -> Iterator[None]:
    """Every client checks the schemas of the tools' answers; here each of them is checked once."""
    check, known = Draft202012Validator.check_schema, set[str]()

    def checked(schema: Any, *arguments: Any, **options: Any) -> None:
        text = json.dumps(schema, sort_keys=True)
        if text not in known:
            check(schema, *arguments, **options)
            known.add(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Draft202012Validator, "check_schema", checked)
        yield


@pytest.fixture(autouse=True, scope="session")
def tools_made_once() -> Iterator[None]:
    """A server makes a tool's models when it is first called; here one serves all servers."""
    make, made = Tool.from_function, dict[tuple[Any, str | None], Tool]()

    def from_function(fn: Callable[..., Any], name: str | None = None, **more: Any) -> Tool:
        key = inspect.unwrap(fn), name
        if key not in made:
            made[key] = make(fn, name=name, **more)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tool, "from_function", from_function)
        yield


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


@pytest.fixture(params=[pytest.param("legacy", marks=pytest.mark.long), "auto"])
def connect(request: pytest.FixtureRequest, harness: ScriptedHarness) -> Connect:
    """Opens an in-memory client, in each era of the protocol.

    What a tool does and answers is the same in both: `make test` has the earlier one over stdio, by
    HTTP, and where tests ask for it.
    """

    @asynccontextmanager
    async def opened() -> AsyncIterator[Client]:
        async with Client(build_app(harness=harness), mode=request.param) as client:
            yield client

    return opened
