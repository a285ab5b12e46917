"""Background work that its callers can leave and join."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from kernel_harness.server.requests.background import BackgroundTasks

pytestmark = pytest.mark.anyio


async def nobody(done: float, total: float, message: str) -> None:
    """Hears nothing."""


async def test_two_callers_of_one_key_share_the_work_and_its_progress() -> None:
    began = 0
    go = anyio.Event()
    heard: list[str] = []

    async def work(report: Any) -> int:
        nonlocal began
        began += 1
        await go.wait()
        await report(1, 1, "almost")
        return 7

    async def hear(done: float, total: float, message: str) -> None:
        heard.append(message)

    async with BackgroundTasks.opened() as tasks:
        assert await tasks.wait("k", work, 0.0, nobody) is None
        results: list[Any] = []

        async def join() -> None:
            results.append(await tasks.wait("k", work, 5.0, hear))

        async with anyio.create_task_group() as group:
            group.start_soon(join)
            await anyio.sleep(0.01)
            go.set()
        assert results == [7] and began == 1 and heard == ["almost"]
        assert await tasks.wait("k", work, 5.0, nobody) == 7
        assert began == 2


async def test_a_failure_in_the_background_reaches_the_caller_who_waits() -> None:
    async def work(report: Any) -> None:
        await anyio.sleep(0.01)
        raise ValueError("broken")

    async with BackgroundTasks.opened() as tasks:
        assert await tasks.wait("k", work, 0.0, nobody) is None
        with pytest.raises(ValueError, match="broken"):
            await tasks.wait("k", work, 5.0, nobody)


async def test_unfinished_work_ends_with_the_server() -> None:
    ended = anyio.Event()

    async def work(report: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with BackgroundTasks.opened() as tasks:
        await tasks.wait("k", work, 0.01, nobody)
    assert ended.is_set()


async def test_work_nobody_waits_for_that_fails_ends_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        raise OSError("no space left")

    async def answer(report: Any) -> int:
        return 7

    async with BackgroundTasks.opened() as tasks:
        tasks.start(work)
        await anyio.sleep(0.01)
        assert await tasks.wait("k", answer, 5.0, nobody) == 7
    assert "no space left" in caplog.text
