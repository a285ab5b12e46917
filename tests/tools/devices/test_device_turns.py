"""Turns at a device: in order, told of, and given back by one that stops waiting."""

from __future__ import annotations

import asyncio
import contextlib

from kernel_harness.tools.devices.device_turns import DeviceTurns, queued_words


def test_turns_are_taken_in_order_and_who_waits_is_known():
    async def run():
        turns, order, waited = DeviceTurns(), [], []

        async def use(name: str):
            async with turns.turn(name):
                order.append(name)
                waited.append(turns.waited_for.is_set())
                await asyncio.sleep(0.02)

        await asyncio.gather(*(use(name) for name in "abc"))
        return order, waited, turns.waited_for.is_set()

    order, waited, after = asyncio.run(run())
    assert order == ["a", "b", "c"]
    assert waited == [True, True, False]  # the others had come when the first got it
    assert not after


def test_one_that_stops_waiting_is_waited_for_no_more():
    async def run():
        turns, words = DeviceTurns(), []

        async def note(done: float, total: float, message: str) -> None:
            words.append(message)

        async def wait():
            async with turns.turn("b", note):
                pass

        async with turns.turn("a"):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0.1)
            during = turns.waited_for.is_set()
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            return during, turns.waited_for.is_set(), words

    during, after, words = asyncio.run(run())
    assert during and not after
    assert words == ["queued for 0 s behind a"]


def test_the_queue_is_told_with_its_length():
    assert queued_words(["evaluation x", "y", "z"], 2.6) == (
        "queued for 3 s behind evaluation x and 2 more"
    )
    assert queued_words([], 0.0) == "queued for 0 s behind another"
