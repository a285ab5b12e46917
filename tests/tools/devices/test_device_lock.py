"""A GPU is held against other servers by its UUID, and those that wait get their turn."""

import asyncio
import contextlib
import os
from types import SimpleNamespace

import pytest

from kernel_harness.tools.devices import device_lock
from kernel_harness.tools.devices.device_lock import held_device, lock_name
from kernel_harness.tools.progress import ignore_progress


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(device_lock, "POLL_S", 0.005)


@pytest.fixture
def shown(monkeypatch):
    """Says which GPUs CUDA shows to this process."""

    def show(*uuids: str | None) -> None:
        devices = tuple(SimpleNamespace(uuid=uuid) for uuid in uuids)
        monkeypatch.setattr(device_lock, "nvidia_devices", lambda: devices)

    return show


async def waits(device: str) -> bool:
    """Whether a server has to wait for the device."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05), held_device(device, ignore_progress):
            return False
    return True


def test_the_same_name_is_another_device_to_servers_that_see_other_ones(shown):
    async def beside():
        shown("GPU-a", "GPU-b")
        async with held_device("cuda:0", ignore_progress):
            same = await waits("cuda:0")
            shown("GPU-b")
            other = await waits("cuda:0")
            shown("GPU-c", "GPU-a")
            renamed = await waits("cuda:1")
        return same, other, renamed, await waits("cuda:1")

    assert asyncio.run(beside()) == (True, False, True, False)


@pytest.mark.parametrize("uuids", [(), (None,)])
def test_a_device_whose_uuid_is_unknown_goes_by_its_number(shown, uuids):
    shown(*uuids)
    assert lock_name("cuda:0") == "kernel-harness-cuda0.lock"
    assert lock_name("cuda:1") == "kernel-harness-cuda1.lock"


def test_the_cpu_is_everybodys(shown):
    async def twice():
        async with held_device("cpu", ignore_progress):
            return await waits("cpu")

    assert not asyncio.run(twice())


def test_who_holds_a_device_all_the_time_lets_others_have_it(shown):
    """A search asks for the device again at once; three servers beside it got nothing."""
    shown("GPU-a")
    order: list[str] = []

    async def use(name: str, times: int) -> None:
        for _ in range(times):
            async with held_device("cuda:0", ignore_progress):
                order.append(name)
                await asyncio.sleep(0.03)

    async def together() -> None:
        await asyncio.gather(use("busy", 6), use("other", 2), use("third", 2))

    asyncio.run(together())
    assert sorted(order) == ["busy"] * 6 + ["other"] * 2 + ["third"] * 2
    assert {"other", "third"} <= set(order[:6]), order


def test_who_waits_is_told_who_holds_it(shown):
    shown("GPU-a")
    said: list[str] = []

    async def note(done: float, total: float, words: str) -> None:
        said.append(words)

    async def beside() -> None:
        async with held_device("cuda:0", ignore_progress):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05), held_device("cuda:0", note):
                    pass

    asyncio.run(beside())
    assert said and "for the device, held by process" in said[0]
    assert str(os.getpid()) in said[0]
