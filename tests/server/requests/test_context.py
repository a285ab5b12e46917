"""Progress that reaches the client at short intervals and always rises."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from kernel_harness.server.requests import context

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

    async with context.progress_to(ctx) as progress:
        await progress(1, 3, "building")
        await anyio.sleep(0.2)
        await progress(1, 3, "checking")
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
    with pytest.raises(KeyError):
        async with context.progress_to(ctx):
            raise KeyError("x")


async def test_a_step_reported_again_goes_on_counting_its_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(context, "time", clock)
    ctx: Any = Listener()
    relay = context.ProgressRelay(ctx)
    await relay(0, 3, "queued")
    for seconds, done in ((4, 0.1), (9, 0.2)):
        clock.now = 100.0 + seconds
        await relay(done, 3, "queued")
    await relay(1, 3, "building")
    assert [words for _, _, words in ctx.steps] == [
        "queued",
        "queued (4 s)",
        "queued (9 s)",
        "building",
    ]
