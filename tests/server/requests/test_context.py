"""Progress at a steady pace, and background work that its callers can leave and join."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from kernel_harness.server.requests import context
from kernel_harness.server.requests.background import BackgroundTasks

pytestmark = pytest.mark.anyio


class Listener:
    """Stands in for a call's context: keeps the reported steps."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float | None, str | None]] = []

    async def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        self.steps.append((progress, total, message))


async def test_a_long_step_is_repeated_with_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.ProgressRelay.__init__, "__defaults__", (0.04,))
    ctx: Any = Listener()

    async def work(progress: context.Progress) -> str:
        await progress(1, 3, "building")
        await anyio.sleep(0.2)
        await progress(1, 3, "checking")
        return "done"

    assert await context.with_progress(ctx, work) == "done"
    values = [value for value, _, _ in ctx.steps]
    assert all(a < b for a, b in zip(values, values[1:], strict=False))
    said = [message for _, _, message in ctx.steps]
    assert said[0] == "building" and said[-1] == "checking"
    assert said.count("building") >= 3
    assert all(total is None or total >= value for value, total, _ in ctx.steps)


async def test_a_clock_within_the_words_is_replaced_by_ours() -> None:
    ctx: Any = Listener()
    relay = context.ProgressRelay(ctx)
    for words in ("queued (1 s)", "queued (3 s)", "queued (5 s)"):
        await relay(0, 1, words)
    await relay(1, 4, "building")
    assert [message for _, _, message in ctx.steps] == ["queued", "building"]


async def test_steps_counted_anew_go_on_from_where_they_stood() -> None:
    ctx: Any = Listener()
    relay = context.ProgressRelay(ctx)
    for done in (1, 2, 3):
        await relay(done, 3, f"first trial, step {done}")
    for done in (1, 2, 3):
        await relay(done, 3, f"second trial, step {done}")
    assert [(value, total) for value, total, _ in ctx.steps][-1] == (6, 6)


async def test_a_failure_comes_out_as_it_is_and_not_in_a_group() -> None:
    ctx: Any = Listener()

    async def work(progress: context.Progress) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await context.with_progress(ctx, work)


async def nobody(done: float, total: float, message: str) -> None:
    """Hears nothing."""


async def test_two_callers_of_one_key_share_the_work_and_its_progress() -> None:
    began = 0
    go = anyio.Event()
    heard: list[str] = []

    async def work(tell: Any) -> int:
        nonlocal began
        began += 1
        await go.wait()
        await tell(1, 1, "almost")
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
    async def work(tell: Any) -> None:
        await anyio.sleep(0.01)
        raise ValueError("broken")

    async with BackgroundTasks.opened() as tasks:
        assert await tasks.wait("k", work, 0.0, nobody) is None
        with pytest.raises(ValueError, match="broken"):
            await tasks.wait("k", work, 5.0, nobody)


async def test_unfinished_work_ends_with_the_server() -> None:
    ended = anyio.Event()

    async def work(tell: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with BackgroundTasks.opened() as tasks:
        await tasks.wait("k", work, 0.01, nobody)
    assert ended.is_set()


async def test_what_is_begun_ahead_and_fails_ends_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        raise OSError("no space left")

    async def answer(tell: Any) -> int:
        return 7

    async with BackgroundTasks.opened() as tasks:
        tasks.start(work)
        await anyio.sleep(0.01)
        assert await tasks.wait("k", answer, 5.0, nobody) == 7
    assert "no space left" in caplog.text
