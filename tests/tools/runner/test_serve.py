"""A runner answers the judge over its socket; the driver is a fake."""

import os
import socket
import threading
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from kernel_harness.tools.messages.launch_plan import ARENA_BASE, RESERVATION_BASE
from kernel_harness.tools.messages.runner import (
    Batch,
    BatchDone,
    EndRunner,
    LoadPlan,
    MapMemory,
    MemoryMapped,
    Move,
    PlanLoaded,
    Poison,
    Replay,
    ReplayCall,
    Replayed,
    RunnerFault,
    RunnerReady,
    from_runner,
)
from kernel_harness.tools.messages.sockets import recv_frame, send_frame
from kernel_harness.tools.runner import replayer
from kernel_harness.tools.runner.serve import RunnerServer

from ..driver.fakes import FakeDriver, give, make_cubin
from ..messages.plans import plan_with_scratch

CUBIN = make_cubin(("first",), {"counter": 4})
MEBIBYTE = 1 << 20


class NoRecords:
    """CUPTI without a device."""

    counts: ClassVar[dict[str, int]] = {}

    def collect(self) -> list[Any]:
        return []


class RunnerDriver(FakeDriver):
    def _cuModuleGetGlobal_v2(self, address: Any, size: Any, *_: Any) -> None:
        give(address, 0x7F0000000000)
        give(size, 4)


class Judge:
    def __init__(self, driver: FakeDriver) -> None:
        self.socket, theirs = socket.socketpair()
        server = RunnerServer(theirs, 0, driver)
        self.thread = threading.Thread(target=lambda: (server.serve(), theirs.close()), daemon=True)
        self.thread.start()

    def hear(self) -> Any:
        return recv_frame(self.socket, from_runner, timeout_s=10)[0]

    def ask(self, message: Any, fds: tuple[int, ...] = ()) -> Any:
        send_frame(self.socket, message, fds)
        return self.hear()

    def load(self) -> Any:
        plan, file = plan_with_scratch(CUBIN)
        fd = os.memfd_create("plan")
        os.write(fd, file)
        return self.ask(LoadPlan(plan=plan), (fd,))


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setattr(replayer, "Cupti", lambda: SimpleNamespace(described=lambda: "CUPTI 0"))
    monkeypatch.setattr(replayer, "ActivityRecorder", lambda _: NoRecords())
    return RunnerDriver()


@pytest.fixture
def judge(driver):
    judge = Judge(driver)
    assert isinstance(judge.hear(), RunnerReady)
    yield judge
    judge.socket.close()
    judge.thread.join(10)


def launches(driver: FakeDriver) -> int:
    return driver.names().count("cuLaunchKernelEx")


def test_a_plan_is_replayed_once_for_each_call(judge, driver):
    fd = os.memfd_create("arena")
    mapped = judge.ask(MapMemory(address=ARENA_BASE, nbytes=4 * MEBIBYTE), (fd,))
    assert mapped == MemoryMapped(address=ARENA_BASE)
    assert isinstance(judge.load(), PlanLoaded)
    call = ReplayCall(
        before=[Move(source=ARENA_BASE + MEBIBYTE, destination=ARENA_BASE, nbytes=64)],
        poison=[Poison(address=ARENA_BASE + 4096, nbytes=64, byte=0xA5)],
    )
    answer = judge.ask(Replay(calls=[call] * 3))
    assert isinstance(answer, Replayed)
    assert [t.events_ns for t in answer.times] == [5_000] * 3
    assert launches(driver) == 4, "one is a rehearsal, which nothing holds back"
    assert driver.names().count("cuStreamWaitValue32_v2") == 3


def test_scratch_is_poisoned_and_restored_before_the_launch_and_the_flush(judge, driver):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall()]))
    del driver.calls[:]
    judge.ask(Replay(calls=[ReplayCall()], scratch_byte=0x5A))
    names = driver.names()
    poison = names.index("cuMemsetD8Async")
    restored = [n for n, name in enumerate(names) if name == "cuMemcpyDtoDAsync_v2"]
    flush, launch = names.index("cuMemsetD32Async"), names.index("cuLaunchKernelEx")
    assert driver.calls[poison][1][1] == 0x5A
    opening, closing = restored[2:]
    assert poison < restored[0] < restored[1] < flush < opening < launch < closing


def test_a_second_plan_takes_the_place_of_the_first(judge, driver):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall()]))
    assert isinstance(judge.load(), PlanLoaded)
    names = driver.names()
    assert names.count("cuModuleUnload") == 1
    assert names.count("cuMemUnmap") == names.count("cuMemRelease") >= 1
    assert isinstance(judge.ask(Replay(calls=[ReplayCall()])), Replayed)


def test_an_output_in_scratch_is_poisoned_after_the_scratch(judge, driver):
    judge.load()
    del driver.calls[:]
    place = Poison(address=RESERVATION_BASE, nbytes=64, byte=0xA5)
    judge.ask(Replay(calls=[ReplayCall(poison=[place])], scratch_byte=0x5A))
    fills = [given[1] for name, given in driver.calls if name == "cuMemsetD8Async"]
    assert fills.index(0x5A) < fills.index(0xA5)


def test_the_word_that_holds_launches_back_is_open_at_the_end(judge, driver):
    judge.load()
    judge.ask(Replay(calls=[ReplayCall()]))
    assert driver.words[0].value == 1


@pytest.mark.parametrize(("with_call", "launched"), [(True, 5), (False, 0)])
def test_a_batch_flushes_and_calls_as_often_as_asked(judge, driver, with_call, launched):
    judge.load()
    del driver.calls[:]
    assert isinstance(judge.ask(Batch(calls=5, with_call=with_call)), BatchDone)
    assert launches(driver) == launched
    assert driver.names().count("cuMemsetD32Async") == 5


@pytest.mark.parametrize(
    "request_",
    [
        Replay(calls=[ReplayCall()]),
        Batch(calls=1, with_call=True),
        MapMemory(address=ARENA_BASE, nbytes=512),
    ],
)
def test_a_request_out_of_order_is_a_fault_and_not_the_end(judge, request_):
    assert isinstance(judge.ask(request_), RunnerFault)
    assert isinstance(judge.load(), PlanLoaded)


def test_memory_that_is_not_mapped_is_neither_read_nor_written(judge, driver):
    judge.load()
    move = Move(source=ARENA_BASE, destination=0x7F0000000000, nbytes=64)
    fault = judge.ask(Replay(calls=[ReplayCall(after=[move])]))
    assert isinstance(fault, RunnerFault) and "not mapped" in fault.message
    assert launches(driver) == 0


def test_an_error_of_cuda_is_told_and_ends_the_runner(judge, driver):
    judge.load()
    driver.failing["cuLaunchKernelEx"] = 700
    fault = judge.ask(Replay(calls=[ReplayCall()]))
    assert isinstance(fault, RunnerFault) and "700" in fault.message
    judge.thread.join(10)
    assert not judge.thread.is_alive()


def test_a_runner_without_a_device_says_so_first(driver):
    driver.failing["cuInit"] = 100
    assert Judge(driver).hear().stage == "start"


def test_it_ends_when_told(judge):
    send_frame(judge.socket, EndRunner())
    judge.thread.join(10)
    assert not judge.thread.is_alive()
