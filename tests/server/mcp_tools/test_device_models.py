"""GPUs of several models in one server: a call names the one whose GPUs it wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from kernel_harness.server.app import build_app
from kernel_harness.tools.devices import environment, gpus
from kernel_harness.tools.evaluation import judge_process
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import DeviceInfo, Executor
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset
from tests.tools.evaluation.scripted_command import scripted_judge

from ...tools.agents.scripted_device import SOURCE, on_device
from ..calls import good, refused
from ..scripted import DEFINITION, ScriptedHarness, solution

pytestmark = pytest.mark.anyio
A100, H200 = "NVIDIA A100-SXM4-80GB", "NVIDIA H200"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One A100 and two H200, made up; a judge sees its own alone, and says so in its records."""
    shown = tuple(
        DeviceInfo(name=name, executor=Executor.CUDA, uuid=f"made up {number}: {name}")
        for number, name in enumerate((A100, H200, H200))
    )
    for module in (gpus, environment, judge_process):
        monkeypatch.setattr(module, "nvidia_devices", lambda: shown)
    for module in (gpus, environment):
        monkeypatch.setattr(module, "torch_has_cuda", lambda: True)
    monkeypatch.setattr("kernel_harness.tools.distributed.device_lock.MACHINE", tmp_path)


def server(settings: Settings, device: str = "auto") -> Harness:
    return Harness.open(settings.model_copy(update={"device": device}), scripted_judge())


@pytest.mark.process
async def test_a_call_names_the_model_that_judges_and_without_one_there_is_a_default(
    settings: Settings,
) -> None:
    harness = server(settings)
    mine = solution()
    try:
        async with Client(build_app(harness=harness)) as client:
            plain = await good(client, "evaluate_kernel", solution=mine)
            named = await good(client, "evaluate_kernel", solution=mine, device="a100")
            again = await good(client, "evaluate_kernel", solution=mine, device="H200")
            report = await good(client, "check_environment")
    finally:
        await harness.aclose()
    assert plain["evidence"]["device"] == H200 and named["evidence"]["device"] == A100
    assert again["evaluation_id"] == plain["evaluation_id"] != named["evaluation_id"]
    assert any(f"{H200} (2), {A100} (1)" in note for note in report["notes"])


@pytest.mark.process
async def test_models_judge_side_by_side_and_clients_of_one_share_its_gpus(
    settings: Settings,
) -> None:
    harness = server(settings)
    asked = [("A100", "slow"), ("H200", "slow"), (None, "slow"), ("A100", "fine")]
    found: dict[int, str] = {}

    async def judge(client: Client, number: int, device: str | None, part: str) -> None:
        named = solution(part, body=f"return x + {number}")
        chosen = {"device": device} if device else {}
        answer = await good(client, "evaluate_kernel", solution=named, **chosen)
        record = harness.records.get(answer["evaluation_id"])
        assert record.evidence.device is not None
        found[number] = str(record.evidence.device.uuid)

    try:
        async with Client(build_app(harness=harness)) as client, anyio.create_task_group() as group:
            for number, (device, part) in enumerate(asked):
                group.start_soon(judge, client, number, device, part)
    finally:
        await harness.aclose()
    assert found[0] == found[3] == f"made up 0: {A100}"
    assert {found[1], found[2]} == {f"made up {number}: {H200}" for number in (1, 2)}


@pytest.mark.process
async def test_it_is_told_of_each_model_how_full_its_gpus_are(settings: Settings) -> None:
    harness = server(settings)
    notes: list[str] = []

    async def look(progress: float, total: float | None, message: str | None) -> None:
        if not notes and message == "built":
            notes.extend(harness.check_environment().notes)

    asked = {"solution": solution("slow"), "device": "A100"}
    try:
        async with Client(build_app(harness=harness)) as client:
            await client.call_tool("evaluate_kernel", asked, progress_callback=look)
    finally:
        await harness.aclose()
    (busy,) = [note for note in notes if note.startswith(f"{A100}: ")]
    (idle,) = [note for note in notes if note.startswith(f"{H200}: ")]
    assert "in use by this server: 1 of 1; nobody waiting" in busy
    assert "in use by this server: 0 of 2" in idle


async def test_a_model_that_is_not_there_is_refused_with_those_that_are(settings: Settings) -> None:
    async with Client(build_app(harness=server(settings))) as client:
        for tool, rest in (("evaluate_kernel", {}), ("profile_ncu", {}), ("profile_timeline", {})):
            words = await refused(client, tool, solution=solution(), device="B200", **rest)
            assert "'B200' is no GPU that can be used" in words, tool
            assert f"Here: {H200}, {A100}." in words, tool


async def test_a_server_that_is_set_to_a_model_judges_on_no_other(settings: Settings) -> None:
    async with Client(build_app(harness=server(settings, "h200"))) as client:
        words = await refused(client, "evaluate_kernel", solution=solution(), device="A100")
    assert "'A100' is no GPU that can be used" in words and f"Here: {H200}." in words


async def test_a_server_on_the_processor_says_that_there_is_nothing_to_choose(
    settings: Settings,
) -> None:
    async with Client(build_app(harness=server(settings, "cpu"))) as client:
        words = await refused(client, "evaluate_kernel", solution=solution(), device="H200")
    assert "no GPU can be chosen by a call" in words and "Leave it out" in words


async def test_variants_of_a_call_stay_on_one_gpu_of_the_model(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.load(settings.kernels_dir, ())
    device = on_device(ScriptedHarness(settings.model_copy(update={"device": "auto"}), dataset))
    asked: list[Sequence[str]] = []

    async def judged(devices: Sequence[str], *given: Any, **more: Any) -> Any:
        asked.append(tuple(devices))
        return await device._judged(devices, *given, **more)

    @asynccontextmanager
    async def one_of(devices: Sequence[str]) -> AsyncIterator[str]:
        yield devices[-1]

    monkeypatch.setattr(device.pool, "evaluate", judged)
    monkeypatch.setattr(device.pool, "one_of", one_of)
    async with Client(build_app(harness=device)) as client:
        opened = await good(client, "open_workspace", definition=DEFINITION, name="w")
        (Path(opened["workspace"]) / "kernel.py").write_text(SOURCE)
        grid = {"tile": {"num_warps": [1, 2]}}
        call: dict[str, Any] = {"workspace": "w", "variants": grid, "compare_to": "nothing"}
        await good(client, "evaluate_variants", **call, device="H200")
        assert set(asked) == {("cuda:2",)}
        asked.clear()
        await good(client, "evaluate_variants", **call, device="A100")
    assert set(asked) == {("cuda:0",)}


def test_a_profile_of_another_model_is_made_on_one_of_its_gpus(settings: Settings) -> None:
    harness = server(settings)
    assert harness.profiling_on().device == harness.profiling_on("h200").device == "cuda:1"
    assert harness.profiling_on("A100").device == "cuda:0"
    assert harness.profiling_on("A100") is harness.profiling_on("a100")
