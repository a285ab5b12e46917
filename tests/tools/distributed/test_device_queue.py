"""Uses get devices in turn, any that will do; those that wait know their place."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from kernel_harness.tools.distributed import device_queue, tickets
from kernel_harness.tools.distributed.device_lock import DeviceLock
from kernel_harness.tools.distributed.device_queue import (
    DeviceQueue,
    QueueState,
    queued_words,
    state_words,
)
from kernel_harness.tools.distributed.tickets import Ticket
from kernel_harness.tools.progress import ignore_progress

TWO = ("cuda:0", "cuda:1")


class Uses:
    """Uses of one queue, in the order in which they got a device."""

    def __init__(self, **choices):
        self.queue = DeviceQueue(**choices)
        self.got: list[tuple[str, str]] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.news = asyncio.Event()

    async def use(self, what, devices=TWO, client="", progress=ignore_progress):
        self.ends[what] = asyncio.Event()
        async with self.queue.turn(devices, what, progress, client=client) as device:
            self.got.append((what, device))
            self.news.set()
            await self.ends[what].wait()

    def begin(self, what, *given, **more):
        return asyncio.ensure_future(self.use(what, *given, **more))

    async def until(self, count):
        async with asyncio.timeout(5):
            while len(self.got) < count:
                self.news.clear()
                await self.news.wait()


def run(story):
    return asyncio.run(story())


def test_two_uses_have_two_devices_and_a_third_the_one_that_is_free_first():
    async def story():
        uses = Uses()
        tasks = [uses.begin(what) for what in "abc"]
        await uses.until(2)
        uses.ends["b"].set()
        await uses.until(3)
        for end in uses.ends.values():
            end.set()
        await asyncio.gather(*tasks)
        return uses.got

    assert run(story) == [("a", "cuda:0"), ("b", "cuda:1"), ("c", "cuda:1")]


def test_what_needs_one_device_holds_up_nobody_that_can_use_another():
    async def story():
        uses = Uses()
        tasks = [uses.begin("a", ("cuda:0",)), uses.begin("b", ("cuda:0",)), uses.begin("c")]
        await uses.until(2)
        first = list(uses.got)
        for end in uses.ends.values():
            end.set()
        await asyncio.gather(*tasks)
        return first

    assert run(story) == [("a", "cuda:0"), ("c", "cuda:1")]


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_clients_take_turns(device):
    async def story():
        uses = Uses()
        tasks = [uses.begin(f"busy{n}", (device,), "busy") for n in range(4)]
        await uses.until(1)
        tasks += [uses.begin("other", (device,), "other")]
        for end in list(uses.ends.values()):
            end.set()
        await uses.until(1)
        await asyncio.sleep(0)
        uses.ends["other"].set()
        await asyncio.gather(*tasks)
        return [what for what, _ in uses.got]

    order = run(story)
    # The second of the busy one was in the line before the other came; its third was not.
    assert order[:3] == ["busy0", "busy1", "other"] and len(order) == 5


def test_servers_take_turns_too():
    """A search asks for the device again at once; three servers beside it got nothing."""

    async def story():
        order = []

        async def use(queue, name, times):
            for _ in range(times):
                async with queue.turn(("cuda:0",), name):
                    order.append(name)
                    await asyncio.sleep(0.01)

        await asyncio.gather(*(use(DeviceQueue(), name, 3) for name in "abc"))
        return order

    order = run(story)
    assert sorted(order) == sorted("abc" * 3)
    assert all(len(set(order[n : n + 3])) == 3 for n in range(len(order) - 2)), order


def test_a_device_that_another_server_holds_is_not_waited_for_while_one_is_free():
    async def story():
        held = DeviceLock.take("cuda:0")
        uses = Uses()
        task = uses.begin("a")
        await uses.until(1)
        uses.ends["a"].set()
        await task
        assert held is not None
        held.release()
        return uses.got

    assert run(story) == [("a", "cuda:1")]


def test_only_the_first_of_a_line_looks_at_the_files_of_other_servers(monkeypatch):
    """Each of thirty-two clients looked at the tickets of all: a quarter of a processor."""
    looks, seen = [], []

    def counted():
        looks.append(1)
        return iter(())

    async def story():
        monkeypatch.setattr(tickets, "_waiting", counted)
        foreign = DeviceLock.take("cuda:0")
        uses = Uses()
        tasks = [uses.begin(str(n), ("cuda:0",), str(n)) for n in range(8)]
        for _ in range(2):
            await asyncio.sleep(2 * device_queue.TELL_SOON_S)  # each was told its place
            before, began = len(looks), asyncio.get_running_loop().time()
            await asyncio.sleep(0.2)
            took = asyncio.get_running_loop().time() - began
            seen.append((len(looks) - before) / (took / device_queue.POLL_S))
            if foreign is not None:
                foreign.release()
                foreign = None
                await uses.until(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(story)
    of_another, of_its_own = seen
    assert 0 < of_another < 2 and of_its_own == 0


def test_what_is_cancelled_leaves_the_line_and_gives_its_device_back():
    async def story():
        uses = Uses()
        one = ("cuda:0",)
        tasks = [uses.begin("a", one), uses.begin("b", one), uses.begin("c", one)]
        await uses.until(1)
        wanted = uses.queue.demand("cuda:0").is_set()
        tasks[1].cancel()
        tasks[0].cancel()
        await uses.until(2)
        alone = uses.queue.demand("cuda:0").is_set()
        uses.ends["c"].set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return uses.got, wanted, alone, uses.queue.state(one)

    got, wanted, alone, state = run(story)
    assert [what for what, _ in got] == ["a", "c"] and wanted and not alone
    assert (state.held, state.waiting) == (0, 0)


def test_a_device_whose_judge_runs_is_taken_before_one_whose_judge_must_start():
    async def story():
        uses = Uses(ready=lambda device: device == "cuda:1")
        tasks = [uses.begin("a"), uses.begin("b")]
        await uses.until(2)
        for end in uses.ends.values():
            end.set()
        await asyncio.gather(*tasks)
        return uses.got

    assert run(story) == [("a", "cuda:1"), ("b", "cuda:0")]


def test_a_device_that_is_free_in_a_moment_is_waited_for_rather_than_a_judge_started():
    async def story():
        uses = Uses(ready=lambda device: device == "cuda:0")
        first = uses.begin("a")
        await uses.until(1)
        uses.queue.note_answer("cuda:0")  # what follows makes it ready for the next
        second = uses.begin("b")
        await asyncio.sleep(0.02)
        during = list(uses.got)
        uses.ends["a"].set()
        await uses.until(2)
        uses.ends["b"].set()
        await asyncio.gather(first, second)
        return during, uses.got

    during, got = run(story)
    assert during == [("a", "cuda:0")] and got[1] == ("b", "cuda:0")


def test_who_waits_is_told_its_place_and_how_long_yet(monkeypatch):
    monkeypatch.setattr(device_queue, "TELL_SOON_S", 0.0)
    said, heard = [], asyncio.Event()

    async def note(done, total, words):
        said.append(words)
        heard.set()

    async def story():
        uses = Uses()
        one = ("cuda:0",)
        uses.queue._uses.append(100.0)  # as if one had taken so long
        tasks = [uses.begin("evaluation x", one, "a"), uses.begin("evaluation y", one, "b")]
        await uses.until(1)
        tasks.append(uses.begin("evaluation z", one, "c", note))
        await heard.wait()
        state = uses.queue.state(one)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return state

    state = run(story)
    assert said[0] == ("queued for 0 s behind evaluation x and 1 more; place 2, about 200 s to go")
    assert (state.held, state.waiting, state.elsewhere) == (1, 2, 0)
    assert state.expected_s == pytest.approx(300, abs=5)


def test_other_servers_are_in_the_place_and_the_holder_is_named(monkeypatch):
    monkeypatch.setattr(device_queue, "TELL_SOON_S", 0.0)
    said, heard = [], asyncio.Event()

    async def note(done, total, words):
        said.append(words)
        heard.set()

    async def story():
        held, before = DeviceLock.take("cuda:0", 30.0), Ticket(["cuda:0"])
        uses = Uses()
        task = uses.begin("a", ("cuda:0",), "", note)
        await heard.wait()
        state = uses.queue.state(("cuda:0",))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        before.discard()
        assert held is not None
        held.release()
        return state

    state = run(story)
    assert said[0].startswith(f"queued for 0 s behind process {os.getpid()}; place 2, about 4")
    assert (state.waiting, state.elsewhere) == (1, 1)


def test_how_full_the_devices_are_is_told_where_it_matters():
    assert state_words(QueueState(1, 0, 0, 0, 0.0)) == ""
    assert state_words(QueueState(2, 0, 0, 0, None)) == (
        "Devices in use by this server: 0 of 2; nobody waiting here."
    )
    assert state_words(QueueState(2, 2, 3, 1, 21.4)) == (
        "Devices in use by this server: 2 of 2; 3 waiting here and 1 of other servers; an "
        "evaluation begun now would wait about 21 s."
    )


def test_the_queue_is_told_with_its_length():
    assert queued_words(["evaluation x", "y", "z"], 2.6) == (
        "queued for 3 s behind evaluation x and 2 more; place 1"
    )
    assert queued_words([], 0.0) == "queued for 0 s behind another; place 1"
    assert queued_words([], 9.0, 1, 0.0).endswith("place 1, due at any moment")


def test_others_who_wait_are_counted_beside_uses_of_this_server_that_wait_for_other_devices(shown):
    """Own uses of another device were taken off those that other servers wait with."""
    shown("GPU-a", "GPU-b")

    async def story():
        uses = Uses()
        held = [uses.begin(f"holds {device}", (device,)) for device in TWO]
        await uses.until(2)
        waiting = [uses.begin(f"waits {device}", (device,), "me") for device in TWO]
        other = Ticket(["cuda:0"])
        await asyncio.sleep(0.05)
        state = uses.queue.state(TWO)
        other.discard()
        for task in (*held, *waiting):
            task.cancel()
        await asyncio.gather(*held, *waiting, return_exceptions=True)
        return state

    state = run(story)
    assert (state.held, state.waiting, state.elsewhere) == (2, 2, 1)


def test_how_long_one_would_wait_is_unknown_where_there_is_no_device():
    """A cluster that was lost after an evaluation has none: its state raised an error."""

    async def story():
        queue = DeviceQueue()
        async with queue.turn(("cpu",), "one"):
            queue.note_answer("cpu")
        return queue.state(())

    assert run(story) == QueueState(0, 0, 0, 0, None)


def test_what_is_compared_keeps_to_the_device_with_the_least_to_do():
    """All variants of all clients were timed on the first device, however many there were."""

    async def story():
        uses = Uses(ready=lambda device: device != "cuda:0")
        queue, three = uses.queue, (*TWO, "cuda:2")
        with queue.one_of(three) as first, queue.one_of(three) as second:
            with queue.one_of(three) as third, queue.one_of(three) as fourth:
                kept = [first, second, third, fourth]
            with queue.one_of(three) as again:  # nothing is left of the last two
                pass
        foreign = DeviceLock.take("cuda:1")
        assert foreign is not None
        with queue.one_of(TWO) as beside_another_server:
            pass
        foreign.release()
        own = [uses.begin(what, ("cuda:1",)) for what in "ab"]
        await uses.until(1)
        with queue.one_of(TWO) as beside_own:
            pass
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)
        return kept, again, beside_another_server, beside_own

    kept, again, beside_another_server, beside_own = run(story)
    assert kept == ["cuda:1", "cuda:2", "cuda:0", "cuda:1"]
    assert again == "cuda:0"
    assert beside_another_server == beside_own == "cuda:0"


def test_a_broken_device_shortens_nobodys_wait():
    """It counted as one that is free."""

    async def story():
        uses = Uses(broken=lambda device: device == "cuda:1")
        async with uses.queue.turn(TWO, "a") as device:
            uses.queue._uses.append(300.0)
            return device, uses.queue.state(TWO).expected_s

    device, expected_s = run(story)
    assert device == "cuda:0" and expected_s == pytest.approx(300, abs=5)
